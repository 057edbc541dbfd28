"""The parts of a release that need no build."""

from __future__ import annotations

import io
import json
import os
import pathlib
import tarfile
import tempfile
import unittest
import zipfile

from samtranslator.yaml_helper import yaml_parse

from local import build, processes
from local.release import archive, sbom, template
from local.release.identity import Identity, identity
from local.release_notes import WORKSPACE_VERSION, notes

RELEASE = Identity("1.2.3", "0123456789ab", 1_790_000_000)


class Template(unittest.TestCase):
    """The template of a release, made from the real one."""

    source = build.TEMPLATE.read_text()

    def test_packaged_template_differs_only_in_its_packages(self) -> None:
        for architecture in ("arm64", "x86_64"):
            expected = yaml_parse(self.source)
            del expected["Globals"]["Function"]["CodeUri"]
            for name, program in build.PROGRAMS.items():
                function = expected["Resources"][name]
                del function["Metadata"]
                function["Properties"]["CodeUri"] = f"{program}-{architecture}.zip"
                description = function["Properties"]["Description"].partition(": ")[2]
                function["Properties"]["Description"] = f"genesys-replay 1.2.3 (0123456789ab): {description}"
            packaged = yaml_parse(template.packaged(self.source, architecture, RELEASE))
            parameter = packaged["Parameters"]["Architecture"]
            self.assertEqual((parameter["Default"], parameter["AllowedValues"]), (architecture, [architecture]))
            expected["Parameters"]["Architecture"] = parameter
            self.assertEqual(packaged, expected)

    def test_template_of_another_form_is_refused(self) -> None:
        for line in ("    CodeUri: .\n", "      BuildMethod: rust-cargolambda\n", "genesys-replay 0"):
            with self.assertRaises(processes.StackError, msg=line):
                template.packaged(self.source.replace(line, ""), "arm64", RELEASE)


class Archives(unittest.TestCase):
    """Archives that are made twice."""

    def test_archives_of_equal_files_are_equal(self) -> None:
        packages, archives = set(), set()
        for time in (1_000_000_000, 1_600_000_000):
            with tempfile.TemporaryDirectory() as folder:
                program = pathlib.Path(folder) / "replay"
                program.write_bytes(b"\x7fELF")
                program.chmod(0o700)
                os.utime(program, (time, time))
                packages.add(archive.function_package(program, RELEASE.epoch))
                archives.add(archive.tar({"a/replay": program, "a/again": program}, RELEASE.epoch))
        [package], [tar] = packages, archives
        [member] = zipfile.ZipFile(io.BytesIO(package)).infolist()
        self.assertEqual((member.filename, member.external_attr >> 16), ("bootstrap", 0o100755))
        with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
            members = [(one.name, one.mode) for one in opened.getmembers()]
        self.assertEqual(members, [("a/again", 0o755), ("a/replay", 0o755)])


class Versions(unittest.TestCase):
    """The argument of make dist."""

    def test_version_is_semantic(self) -> None:
        for version in ("0.2.0", "1.0.0-rc.1", "10.20.30"):
            self.assertEqual(identity(version).name, f"genesys-replay-{version}")
        for version in ("", "v0.2.0", "0.2", "0.2.0+build", "01.2.3", "0.2.0 ", "0.2.0/..", "0.2.0-"):
            with self.assertRaises(processes.StackError, msg=version):
                identity(version)


class Notes(unittest.TestCase):
    """The section of a version in the changelog."""

    def test_notes_are_the_section_of_the_version(self) -> None:
        changelog = "# Changelog\n\n## Unreleased\n\n## 0.2.0 (2026-11-30)\n\n- new\n\n## 0.1.0\n\n- old\n"
        self.assertEqual(notes(changelog, "0.2.0"), "- new")
        self.assertEqual(notes(changelog, "0.1.0"), "- old")
        for version in ("0.2", "0.3.0", "Unreleased"):
            with self.assertRaises(processes.StackError, msg=version):
                notes(changelog, version)

    def test_version_of_the_workspace_has_notes(self) -> None:
        version = WORKSPACE_VERSION.search((build.ROOT / "Cargo.toml").read_text())
        self.assertTrue(notes((build.ROOT / "CHANGELOG.md").read_text(), version[1]))


class BillOfMaterials(unittest.TestCase):
    """The crates of a program."""

    def test_bill_lists_only_compiled_dependencies_of_the_program(self) -> None:
        def component(name: str, version: str = "1.0.0") -> dict[str, str]:
            return {
                "bom-ref": f"{name}#{version}",
                "name": name,
                "version": version,
                "purl": f"pkg:cargo/{name}?a=b#src",
            }

        document = {
            "metadata": {"component": component("app")},
            "components": [component("used"), component("used", "2.0.0"), component("below"), component("other")],
            "dependencies": [
                {"ref": "app#1.0.0", "dependsOn": ["used#2.0.0", "used#1.0.0"]},
                {"ref": "used#1.0.0", "dependsOn": ["below#1.0.0"]},
                # Of a feature that is off, and of another program.
                {"ref": "used#2.0.0"},
                {"ref": "other#1.0.0", "dependsOn": ["below#1.0.0"]},
                {"ref": "below#1.0.0"},
            ],
        }
        sbom.keep_only(document, {"used@1.0.0", "below@1.0.0", "other@1.0.0"})
        self.assertEqual([one["bom-ref"] for one in document["components"]], ["used#1.0.0", "below#1.0.0"])
        expected = [("app#1.0.0", ["used#1.0.0"]), ("below#1.0.0", []), ("used#1.0.0", ["below#1.0.0"])]
        self.assertEqual([(one["ref"], one["dependsOn"]) for one in document["dependencies"]], expected)
        self.assertNotIn("?", json.dumps(document))

    def test_compiled_packages_are_those_of_the_programs(self) -> None:
        packages = sbom.compiled("aarch64-unknown-linux-gnu")
        self.assertTrue(any(one.startswith("lambda_runtime@") for one in packages))
        # Optional dependencies that are in Cargo.lock, and development dependencies.
        self.assertFalse([one for one in packages if one.startswith(("quinn@", "mockito@", "proptest@"))])


if __name__ == "__main__":
    unittest.main()
