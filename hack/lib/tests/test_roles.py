"""That an agent's roles allow exactly what it does, by the two checks of `hack/e2e` that say so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / ".build"
BINARIES = BUILD / "debug"


@unittest.skipUnless(shutil.which("kubectl"), "kubectl is not installed")
@unittest.skipUnless((BINARIES / "pipeops-agent").is_file(), "the programs are not built")
class Roles(unittest.TestCase):
    def test_22_roles_allow_exactly_what_an_agent_does(self) -> None:
        directory = BUILD / "roles-check"
        ran = subprocess.run(
            [
                sys.executable, "-m", "e2e", "--binaries", str(BINARIES), "--directory", str(directory),
                "--only", "roles.",
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
        results = {check["name"]: check for check in report["checks"]}
        used = results["roles.roles_are_exactly_what_is_used"]
        self.assertEqual(used["result"], "ok")
        self.assertNotIn("a part of the suite", used["detail"], "what is allowed and unused was not counted")


if __name__ == "__main__":
    unittest.main()
