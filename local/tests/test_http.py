"""The requests to ingest: signatures, samples, sending, and the checks of answers."""

from __future__ import annotations

import json
import socket
import threading
import unittest
from email.message import Message
from typing import Any, ClassVar

from local import build, ingest_part, invoke
from local.http_request import Answer, HttpRequest
from local.http_scenarios import TO_FUNCTION, TO_SERVER
from local.messages import EVENTS


class Requests(unittest.TestCase):
    """The samples of events/ as requests."""

    def test_a_signature_is_that_of_the_schemes_own_example(self) -> None:
        # https://github.com/standard-webhooks/standard-webhooks, the test "sign" of its libraries.
        request = HttpRequest("POST", "/", {}, b'{"test": 2432232314}', "msg_p5jXN8AQM9LWM0D4loKWxJek")
        headers = request.signature(1614265330, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        self.assertEqual(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")

    def test_each_purpose_has_ids_of_its_own(self) -> None:
        one, other = (HttpRequest.of("ingest-dead-letter.json", purpose) for purpose in ("one", "other"))
        self.assertNotEqual(one.body, other.body)
        self.assertNotEqual(one.webhook_id, other.webhook_id)
        self.assertEqual(one, HttpRequest.of("ingest-dead-letter.json", "one"))

    def test_a_body_in_base64_is_decoded(self) -> None:
        self.assertTrue(HttpRequest.of("ingest-webhook-malformed.json", "any").body.startswith(b'{"campaignId":"'))

    def test_the_expected_delivery_is_a_part_of_the_request(self) -> None:
        for exchange in (*TO_SERVER, *TO_FUNCTION):
            if exchange.ending:
                with self.subTest(exchange.name):
                    self.assertIn(exchange.letter.payload, exchange.request.body.decode())

    def test_each_sample_goes_to_its_function(self) -> None:
        for path in EVENTS.glob("*.json"):
            with self.subTest(path.name):
                expected = build.INGEST if path.name.startswith("ingest-") else build.REPLAY
                self.assertEqual(invoke.function_for(path.read_bytes()), expected)

    def test_an_answer_before_the_end_of_the_body_is_read(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def refuse() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(b"HTTP/1.1 413 Too Large\r\nX-Seen: yes\r\nContent-Length: 4\r\n\r\nlong")
                    connection.shutdown(socket.SHUT_WR)
                    # As ingest does; else the unread rest would reset the connection before the answer is read.
                    while connection.recv(1 << 16):
                        pass

            server = threading.Thread(target=refuse)
            server.start()
            request = HttpRequest("POST", "/dead-letter", {}, b"x".ljust(2 << 20), "msg_1")
            answer = request.send(f"http://127.0.0.1:{listener.getsockname()[1]}", {})
            server.join()
            self.assertEqual((answer.status, answer.body, answer.headers["x-seen"]), (413, "long", "yes"))


class Checks(unittest.TestCase):
    """An answer and its log line against the exchange."""

    EXCHANGE = next(exchange for exchange in TO_SERVER if exchange.code == "INGEST_METHOD")
    LINE: ClassVar = {"status": 405, "problem": "INGEST_METHOD"}
    PROBLEM: ClassVar = {"status": 405, "code": "INGEST_METHOD", "detail": "GET"}

    def findings(self, line: Any = None, status: int = 405, body: Any = None, **headers: str) -> list[str]:
        message = Message()
        for name, value in {"Content-Type": "application/problem+json", "Allow": "POST", **headers}.items():
            message[name.replace("_", "-")] = value
        answer = Answer(status, message, json.dumps(body or self.PROBLEM))
        return ingest_part.check(ingest_part.Exchanged(self.EXCHANGE, answer, line or self.LINE))

    def test_the_expected_answer_is_no_finding(self) -> None:
        self.assertEqual(self.findings(), [])

    def test_every_difference_is_a_finding(self) -> None:
        self.assertEqual(self.findings(status=404), ["status is 404, expected 405"])
        self.assertEqual(len(self.findings(body={**self.PROBLEM, "code": "INTERNAL"})), 1)
        self.assertEqual(len(self.findings(Retry_After="5")), 1)
        self.assertEqual(len(self.findings(line={**self.LINE, "status": 404})), 1)


if __name__ == "__main__":
    unittest.main()
