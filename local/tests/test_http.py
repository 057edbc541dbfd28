"""What is sent to ingest: signatures, the samples as requests, and what is expected of the answers."""

from __future__ import annotations

import json
import socket
import threading
import unittest
from email.message import Message
from typing import Any, ClassVar

from local import build, http_client, invoke, over_http, signature
from local.http_client import Answer
from local.http_request import HttpRequest
from local.http_scenarios import TO_FUNCTION, TO_SERVER
from local.letters import EVENTS


class Signatures(unittest.TestCase):
    """The scheme of Standard Webhooks."""

    def test_they_are_those_of_the_schemes_own_example(self) -> None:
        # https://github.com/standard-webhooks/standard-webhooks, the test "sign" of its libraries.
        headers = signature.headers(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            b'{"test": 2432232314}',
            1614265330,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        )
        self.assertEqual(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")


class Samples(unittest.TestCase):
    """The requests of events/."""

    def test_each_purpose_has_ids_of_its_own(self) -> None:
        one, other = (HttpRequest.of("ingest-dead-letter.json", purpose) for purpose in ("one", "other"))
        self.assertNotEqual(one.subscription_id, other.subscription_id)
        self.assertNotEqual(one.webhook_id, other.webhook_id)
        self.assertEqual(one, HttpRequest.of("ingest-dead-letter.json", "one"))

    def test_a_body_in_base64_is_sent_as_it_was(self) -> None:
        request = HttpRequest.of("ingest-webhook-malformed.json", "any")
        self.assertTrue(request.body.startswith(b'{"campaignId":"'))
        with self.assertRaises(UnicodeDecodeError):
            request.body.decode()

    def test_what_is_delivered_stands_so_in_the_request(self) -> None:
        for exchange in (*TO_SERVER, *TO_FUNCTION):
            if exchange.is_accepted:
                with self.subTest(exchange.name):
                    self.assertIn(exchange.letter.payload, exchange.request.body.decode())

    def test_a_repetition_is_the_same_request(self) -> None:
        named = {exchange.name: exchange for exchange in TO_SERVER}
        for exchange in TO_SERVER:
            if exchange.repeats:
                self.assertEqual(exchange.request, named[exchange.repeats].request)

    def test_each_goes_to_the_function_that_takes_it(self) -> None:
        for path in EVENTS.glob("*.json"):
            with self.subTest(path.name):
                expected = build.INGEST if path.name.startswith("ingest-") else build.REPLAY
                self.assertEqual(invoke.function_for(path.read_bytes()), expected)


class Checks(unittest.TestCase):
    """Whether an answer, and what the log says of it, are as they must be."""

    EXCHANGE = next(exchange for exchange in TO_SERVER if exchange.code == "INGEST_METHOD")
    LINE: ClassVar = {"status": 405, "problem": "INGEST_METHOD"}
    PROBLEM: ClassVar = {"status": 405, "code": "INGEST_METHOD", "detail": "GET"}

    def answer(self, status: int = 405, body: Any = None, **headers: str) -> Answer:
        message = Message()
        for name, value in {"Content-Type": "application/problem+json", "Allow": "POST", **headers}.items():
            message[name.replace("_", "-")] = value
        return Answer(status, message, json.dumps(body or self.PROBLEM))

    def test_the_expected_answer_is_no_problem(self) -> None:
        self.assertEqual(over_http.check(over_http.Exchanged(self.EXCHANGE, self.answer(), self.LINE)), [])

    def test_any_other_is(self) -> None:
        wrong = [
            (self.answer(status=404), self.LINE),
            (self.answer(body={**self.PROBLEM, "code": "INTERNAL"}), self.LINE),
            (self.answer(Retry_After="5"), self.LINE),
            (self.answer(), {**self.LINE, "status": 404}),
        ]
        for answer, line in wrong:
            with self.subTest(answer=answer, line=line):
                self.assertEqual(len(over_http.check(over_http.Exchanged(self.EXCHANGE, answer, line))), 1)


class Sending(unittest.TestCase):
    """Requests on the wire."""

    def test_an_answer_that_comes_before_the_end_of_the_body_is_read(self) -> None:
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
            answer = http_client.send(request, {}, f"http://127.0.0.1:{listener.getsockname()[1]}")
            server.join()
            self.assertEqual((answer.status, answer.body, answer.headers["x-seen"]), (413, "long", "yes"))


if __name__ == "__main__":
    unittest.main()
