"""Puts the conformance artefacts into the wheel; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ARTEFACTS = ("profiles", "capability", "subscriptions")


class BuildWithArtefacts(build_py):
    """Copies the three folders to `fhir_server/_artefacts`, where the loader looks first."""

    def run(self) -> None:
        """Builds the package; an editable one reads the folders where they are."""
        super().run()
        if self.editable_mode:
            return
        for name in ARTEFACTS:
            target = Path(self.build_lib, "fhir_server", "_artefacts", name)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(name, target, ignore=shutil.ignore_patterns("*.md"))


setup(cmdclass={"build_py": BuildWithArtefacts})
