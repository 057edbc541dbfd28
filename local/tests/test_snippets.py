"""The snippets of docs/DEPLOY.md are checked with the grammars of their languages."""

from __future__ import annotations

import io
import re
import subprocess
import unittest

import hcl2
import tree_sitter
import tree_sitter_typescript

from local import build

SNIPPET = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[str]:
    """The snippets in one language."""
    document = (build.ROOT / "docs/DEPLOY.md").read_text()
    return [text for found, text in SNIPPET.findall(document) if found == language]


class Snippets(unittest.TestCase):
    """Each snippet is complete and has no syntax error."""

    def test_terraform(self) -> None:
        blocks = [hcl2.load(io.StringIO(text)) for text in snippets("hcl")]
        resources = [name for block in blocks for one in block.get("resource", []) for name in one]
        self.assertIn("aws_cloudformation_stack", "".join(resources))
        self.assertGreaterEqual(len(blocks), 3)

    def test_cdk(self) -> None:
        parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_typescript.language_typescript()))
        found = snippets("ts")
        self.assertTrue(found)
        for text in found:
            self.assertFalse(parser.parse(text.encode()).root_node.has_error, text)
        self.assertTrue(parser.parse(b"const a: = 1;").root_node.has_error)

    def test_shell(self) -> None:
        found = snippets("sh")
        self.assertTrue(found)
        for text in found:
            # Names in <…> would be redirections.
            script = re.sub(r"<[a-z]+>", "name", text)
            done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
            self.assertEqual(done.stderr, "", text)


if __name__ == "__main__":
    unittest.main()
