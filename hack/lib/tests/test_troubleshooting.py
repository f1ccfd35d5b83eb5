"""docs/troubleshooting.md and docs/failures.md know every answer of the gateway, and nothing that does not exist."""

from __future__ import annotations

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
FAILURES = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")


def source(path: str) -> str:
    return (ROOT / "Sources" / path).read_text(encoding="utf-8")


def rows(heading: str, page: str = PAGE) -> list[list[str]]:
    """The rows of the table whose first column has this heading."""
    table = page.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]


def block(text: str, beginning: str) -> str:
    return text.partition(beginning)[2].partition("\n}")[0]


def body(text: str, property_name: str) -> str:
    return text.partition(f"package var {property_name}: ")[2].partition("\n    }\n")[0]


class Troubleshooting(unittest.TestCase):
    def setUp(self) -> None:
        self.failures = source("HTTPExchange/ExchangeFailure.swift")

    def codes(self) -> dict[str, str]:
        """The code of each case."""
        return dict(re.findall(r'case \.(\w+): "(\w+)"', body(self.failures, "code")))

    def test_every_code_is_there_once_with_its_status(self) -> None:
        status = {}
        for cases, number in re.findall(r"case ([^:]+):\s+(\d{3})", body(self.failures, "status")):
            status.update({name: number for name in re.findall(r"\.(\w+)", cases)})
        expected = sorted((code, status[case]) for case, code in self.codes().items())
        self.assertGreater(len(expected), 15)
        for page in (PAGE, FAILURES):
            self.assertEqual(sorted((row[0].strip("`"), row[1]) for row in rows("`code`", page)), expected)

    def test_it_has_every_reason_why_a_route_is_not_programmed(self) -> None:
        reasons = re.findall(
            r'case \w+ = "(\w+)"', block(source("ClusterAgent/GatewayRoute.swift"), "enum ProgrammedReason"))
        self.assertEqual(
            sorted([row[0].strip("`") for row in rows("Reason")] + ["Programmed"]), sorted(reasons))

    def test_it_has_every_reason_why_a_reference_is_not_resolved(self) -> None:
        reasons = re.findall(
            r'case \w+ = "(\w+)"', block(source("ClusterAgent/GatewayRoute.swift"), "enum ResolvedRefsReason"))
        self.assertIn("ServiceNotFound", reasons)
        for reason in reasons:
            self.assertRegex(PAGE, rf"\b{reason}\b")

    def test_what_it_links_to_exists(self) -> None:
        headings = {
            re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)}
        for target in re.findall(r"\]\(([^)]+)\)", PAGE):
            if target.startswith("#"):
                self.assertIn(target[1:], headings)
            else:
                self.assertTrue((ROOT / "docs" / target).is_file(), target)

    def test_settings_and_annotations_exist(self) -> None:
        agent = source("ClusterAgent/AgentSettings.swift")
        gateway = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "Sources/EdgeGateway").glob("*.swift"))
        for name in ("max-streams", "tunnels", "sync", "ingress-class", "ingress-selector", "namespace"):
            self.assertIn(f"`{name}`", PAGE)
            self.assertTrue(re.search(rf'= "{name}"|case {name}\b', agent), name)
        for name in ("admin-listen", "request-timeout", "rate-limit", "route-ttl"):
            self.assertIn(f"`{name}`", PAGE)
            self.assertTrue(f'= "{name}"' in gateway, name)
        sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "Sources").rglob("*.swift"))
        for name in set(re.findall(r"`(gateway\.pipeops\.io/[a-z-]+)`", PAGE)):
            self.assertTrue(name in sources, name)


if __name__ == "__main__":
    unittest.main()
