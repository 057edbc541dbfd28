"""The template of a release: template.yaml, with the packages of the functions instead of their sources."""

from __future__ import annotations

import re

from .. import build, processes
from .identity import Identity

# Edits of the text instead of the parsed document, because the comments are for the people that read the template.
SOURCES = "    CodeUri: .\n"
BUILD = """    Metadata:
      BuildMethod: rust-cargolambda
      BuildProperties:
        Binary: {program}
    Properties:
"""
PACKAGE = """    Properties:
      CodeUri: {package}
"""
ARCHITECTURE = """    Default: arm64
    AllowedValues: [arm64, x86_64]
    Description: Processor of the function. Give the same value to sam build.
"""
FIXED_ARCHITECTURE = """    Default: {architecture}
    AllowedValues: [{architecture}]
    ConstraintDescription: must be {architecture}, because this template has the packages for it
    Description: Processor of the function, as in the name of its package.
"""
DESCRIPTION = re.compile(r'(?<=Description: "genesys-replay )[^:]+(?=: )')


def file_name(architecture: str) -> str:
    """The name of the template for one processor. `sam deploy` finds that of arm64, which costs less in Lambda."""
    return "template.yaml" if architecture == "arm64" else f"template-{architecture}.yaml"


def package(program: str, architecture: str) -> str:
    """The name of a function's package."""
    return f"{program}-{architecture}.zip"


def packaged(template: str, architecture: str, release: Identity) -> str:
    """The template for one processor; raises StackError if template.yaml no longer has the expected form."""
    edits = [(SOURCES, ""), (ARCHITECTURE, FIXED_ARCHITECTURE.format(architecture=architecture))]
    for program in build.PROGRAMS.values():
        named = PACKAGE.format(package=package(program, architecture))
        edits.append((BUILD.format(program=program), named))
    for before, after in edits:
        if template.count(before) != 1:
            raise processes.StackError(f"template.yaml does not have exactly one of these lines:\n{before}")
        template = template.replace(before, after)
    template, described = DESCRIPTION.subn(release.release, template)
    if described != len(build.PROGRAMS):
        raise processes.StackError(f"{described} descriptions in template.yaml have a version")
    return template
