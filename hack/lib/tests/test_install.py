"""What `kubectl apply -k` installs, as kubectl renders it."""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
import tempfile
import unittest
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
KUBECTL = shutil.which("kubectl")
OVERLAYS = sorted(path.parent for path in (ROOT / "manifests" / "overlays").glob("*/kustomization.yaml"))
AGENTS = [ROOT / "manifests" / "agent", *OVERLAYS]


@lru_cache(maxsize=None)
def rendered(directory: Path) -> tuple[Any, ...]:
    """The objects of a kustomization. kubectl turns its YAML into JSON, so that no library is needed here."""
    yaml = subprocess.run([str(KUBECTL), "kustomize", str(directory)], check=True, capture_output=True).stdout
    objects: list[Any] = []
    for document in yaml.decode().split("\n---\n"):
        if "kind: CustomResourceDefinition" in document:
            continue
        # A patch that changes nothing, applied to a local file, prints it as JSON.
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(document)
            file.flush()
            output = subprocess.run(
                [str(KUBECTL), "label", "--local", "-f", file.name, "-o", "json", "rendered=true"],
                check=True, capture_output=True,
            ).stdout
        objects.append(json.loads(output))
    return tuple(objects)


def of_kind(directory: Path, kind: str) -> Any:
    found = [item for item in rendered(directory) if item["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of kind {kind} in {directory}"
    return found[0]


def setting(directory: Path, name: str) -> str:
    return str(of_kind(directory, "ConfigMap")["data"][name])


@dataclass(frozen=True)
class Peer:
    """Whom the agent dials."""

    address: str
    is_node: bool = False
    is_pod: bool = False


def allows(rule: Any, to: Peer, port: int, protocol: str, is_every_address: bool) -> bool:
    """Whether a rule of a NetworkPolicy's egress lets a connection out."""
    ports = rule.get("ports")
    if ports and not any((entry["port"], entry.get("protocol", "TCP")) == (port, protocol) for entry in ports):
        return False
    peers = rule.get("to")
    return not peers or any(_is_meant(peer, to, is_every_address) for peer in peers)


def _is_meant(peer: Any, to: Peer, is_every_address: bool) -> bool:
    if "ipBlock" not in peer:
        # Every label selector of ours is empty, which selects all.
        return to.is_pod and peer == {"namespaceSelector": {}}
    if (to.is_node or to.is_pod) and not is_every_address:
        return False
    address, block = ipaddress.ip_address(to.address), peer["ipBlock"]
    excepted = any(address in ipaddress.ip_network(network) for network in block.get("except", []))
    return address in ipaddress.ip_network(block["cidr"]) and not excepted


@unittest.skipUnless(KUBECTL, "kubectl is not installed")
class Install(unittest.TestCase):
    def test_21_two_replicas_of_which_one_is_always_there(self) -> None:
        for directory in AGENTS:
            with self.subTest(directory.name):
                spec = of_kind(directory, "Deployment")["spec"]
                self.assertEqual(spec["replicas"], 2)
                self.assertEqual(spec["strategy"]["rollingUpdate"], {"maxUnavailable": 0, "maxSurge": 1})
                budget = of_kind(directory, "PodDisruptionBudget")["spec"]
                # One of two stays; and of one, which an overlay may ask for, a drain does not wait for ever.
                self.assertEqual((budget.get("minAvailable"), budget["maxUnavailable"]), (None, 1))
                self.assertEqual(budget["unhealthyPodEvictionPolicy"], "AlwaysAllow")
                affinity = spec["template"]["spec"]["affinity"]["podAntiAffinity"]
                term = affinity["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"]
                self.assertEqual(term["topologyKey"], "kubernetes.io/hostname")
                labels = spec["template"]["metadata"]["labels"].items()
                for selector in (spec["selector"], budget["selector"], term["labelSelector"]):
                    self.assertLessEqual(selector["matchLabels"].items(), labels)

    def test_the_agent_has_no_rights_on_its_node(self) -> None:
        for directory in AGENTS:
            with self.subTest(directory.name):
                pod = of_kind(directory, "Deployment")["spec"]["template"]["spec"]
                self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                (container,) = pod["containers"]
                self.assertEqual(
                    container["securityContext"],
                    {
                        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                )
                self.assertTrue({"cpu", "memory"} <= container["resources"]["requests"].keys())
                self.assertEqual(container["livenessProbe"]["httpGet"]["path"], "/healthz")
                self.assertEqual(container["readinessProbe"]["httpGet"]["path"], "/readyz")
                grace = int(pod["terminationGracePeriodSeconds"])
                self.assertGreater(grace, 30, "longer than the agent's own grace time")

    def test_22_rules_name_what_they_allow(self) -> None:
        """The ancestor's defect 22: full access to secrets, RBAC objects, exec and webhooks."""
        for directory in AGENTS:
            for item in rendered(directory):
                for rule in item.get("rules") or []:
                    with self.subTest(directory=directory.name, kind=item["kind"], rule=rule):
                        for part in ("apiGroups", "resources", "verbs"):
                            self.assertNotIn("*", rule[part])
                        self.assertNotIn("rbac.authorization.k8s.io", rule["apiGroups"])
                        self.assertNotIn("admissionregistration.k8s.io", rule["apiGroups"])
                        self.assertFalse({"secrets", "pods/exec", "pods", "configmaps"} & set(rule["resources"]))
                        self.assertFalse({"escalate", "bind", "impersonate"} & set(rule["verbs"]))

    def test_the_lease_keeps_its_name_in_the_role(self) -> None:
        """kustomize takes a name that is equal to a generated object's for a reference to it."""
        for directory in AGENTS:
            with self.subTest(directory.name):
                rules = of_kind(directory, "Role")["rules"]
                names = [name for rule in rules for name in rule.get("resourceNames", [])]
                self.assertEqual(names, ["pipeops-agent"])

    def test_every_subject_is_the_account_of_the_pod(self) -> None:
        for directory in AGENTS:
            account = of_kind(directory, "ServiceAccount")["metadata"]
            self.assertEqual(
                of_kind(directory, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"], account["name"])
            for item in rendered(directory):
                for subject in item.get("subjects") or []:
                    with self.subTest(directory=directory.name, binding=item["metadata"]["name"]):
                        self.assertEqual(
                            (subject["kind"], subject["name"], subject["namespace"]),
                            ("ServiceAccount", account["name"], account["namespace"]))

    def test_21_nothing_comes_in_but_to_the_port_of_probes_and_metrics(self) -> None:
        for directory in AGENTS:
            with self.subTest(directory.name):
                policy = of_kind(directory, "NetworkPolicy")["spec"]
                self.assertEqual(set(policy["policyTypes"]), {"Ingress", "Egress"})
                self.assertEqual([[p["port"] for p in rule["ports"]] for rule in policy["ingress"]], [["admin"]])

    def test_21_the_policy_lets_out_what_the_agent_dials_under_every_reading_of_it(self) -> None:
        """To some plugins an ipBlock is every address there is, to others none that belongs to a node or a Pod."""
        for directory in AGENTS:
            egress = of_kind(directory, "NetworkPolicy")["spec"]["egress"]
            for is_every_address in (True, False):
                def lets_out(to: Peer, port: int, protocol: str = "TCP") -> bool:
                    return any(allows(rule, to, port, protocol, is_every_address) for rule in egress)

                with self.subTest(directory.name, is_every_address=is_every_address):
                    # The API server: a process on a node, a Pod, or elsewhere; behind port 443 of its Service.
                    for to in (Peer("10.0.0.5", is_node=True), Peer("fd12::5", is_node=True), Peer("203.0.113.5")):
                        self.assertTrue(lets_out(to, 443) and lets_out(to, 6443), str(to))
                    # Ingress controllers, applications, and name servers at the Pod's own port.
                    for to in (Peer("10.244.0.7", is_pod=True), Peer("fd12::7", is_pod=True)):
                        self.assertTrue(all(lets_out(to, port) for port in (80, 3000, 8080, 9443)), str(to))
                        self.assertTrue(all(lets_out(to, port, "UDP") for port in (53, 5353)), str(to))
                    self.assertTrue(lets_out(Peer("169.254.20.10", is_node=True), 53, "UDP"))
                    # The gateway, at whatever port.
                    for address in ("198.51.100.1", "2001:db8::1"):
                        self.assertTrue(lets_out(Peer(address), 443) and lets_out(Peer(address), 8081), address)
                    # What clouds tell a machine.
                    for address in ("169.254.169.254", "fd00:ec2::254"):
                        self.assertFalse(lets_out(Peer(address), 80), address)

    def test_21_the_pod_is_asked_at_the_addresses_of_either_family(self) -> None:
        for directory in AGENTS:
            with self.subTest(directory.name):
                (container,) = of_kind(directory, "Deployment")["spec"]["template"]["spec"]["containers"]
                values = {entry["name"]: entry.get("value") for entry in container["env"]}
                (port,) = container["ports"]
                self.assertEqual(values["PIPEOPS_AGENT_ADMIN_LISTEN"], f"[::]:{port['containerPort']}")
                self.assertEqual(port["name"], container["readinessProbe"]["httpGet"]["port"])

    def test_overlays_say_what_is_particular_about_their_clusters(self) -> None:
        overlays = {directory.name: directory for directory in OVERLAYS}
        self.assertEqual(set(overlays), {"k3s", "kind", "plain"})
        self.assertEqual(setting(overlays["k3s"], "PIPEOPS_AGENT_SYNC"), "always")
        self.assertEqual(setting(overlays["k3s"], "PIPEOPS_AGENT_INGRESS_CONTROLLER"), "kube-system/traefik")
        self.assertEqual(setting(overlays["plain"], "PIPEOPS_AGENT_SYNC"), "auto")
        (container,) = of_kind(overlays["kind"], "Deployment")["spec"]["template"]["spec"]["containers"]
        self.assertEqual((container["image"], container["imagePullPolicy"]), ("pipeops-agent:dev", "Never"))

    def test_configmaps_are_read_only_with_the_component_for_offline_pages(self) -> None:
        with tempfile.TemporaryDirectory(dir=ROOT / "manifests" / "overlays") as overlay:
            (Path(overlay) / "kustomization.yaml").write_text(
                "resources: [../../agent]\ncomponents: [../../agent/components/offline-pages]\n")
            objects = rendered(Path(overlay))
        rules = [rule for item in objects for rule in item.get("rules") or [] if "configmaps" in rule["resources"]]
        self.assertEqual([rule["verbs"] for rule in rules], [["list", "watch"]])
        (settings,) = [item["data"] for item in objects if item["kind"] == "ConfigMap"]
        self.assertEqual(settings["PIPEOPS_AGENT_OFFLINE_PAGES"], "true")

    def test_the_status_of_ingresses_is_written_only_with_the_component(self) -> None:
        for item in rendered(ROOT / "manifests" / "agent"):
            for rule in item.get("rules") or []:
                self.assertNotIn("ingresses/status", rule["resources"])
        with tempfile.TemporaryDirectory(dir=ROOT / "manifests" / "overlays") as overlay:
            (Path(overlay) / "kustomization.yaml").write_text(
                "resources: [../../agent]\ncomponents: [../../agent/components/ingress-status]\n")
            objects = rendered(Path(overlay))
        rules = [rule for item in objects for rule in item.get("rules") or [] if "ingresses/status" in rule["resources"]]
        self.assertEqual([rule["verbs"] for rule in rules], [["patch"]])
        (settings,) = [item["data"] for item in objects if item["kind"] == "ConfigMap"]
        self.assertEqual(settings["PIPEOPS_AGENT_UPDATE_INGRESS_STATUS"], "true")
        self.assertTrue(settings["PIPEOPS_AGENT_INGRESS_CLASS"])

    def test_users_come_by_tls_with_the_component(self) -> None:
        with tempfile.TemporaryDirectory(dir=ROOT / "manifests" / "overlays") as overlay:
            (Path(overlay) / "kustomization.yaml").write_text(
                "resources: [../../gateway]\ncomponents: [../../gateway/components/https]\n")
            objects = rendered(Path(overlay))
        (pod,) = [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]
        (container,) = pod["containers"]
        listen = {item["name"]: item.get("value") for item in container["env"]}
        self.assertEqual(listen["PIPEOPS_GATEWAY_LISTEN_TLS"], "0.0.0.0:8443")
        self.assertEqual(listen["PIPEOPS_GATEWAY_LISTEN"], "0.0.0.0:8080")
        mounts = {item["mountPath"]: item["name"] for item in container["volumeMounts"]}
        self.assertEqual(mounts[listen["PIPEOPS_GATEWAY_CERTIFICATES"] + "/default"], "certificates")
        secrets = {item["name"]: item["secret"]["secretName"] for item in pod["volumes"]}
        self.assertEqual(secrets["certificates"], "pipeops-gateway-tls")
        (ports,) = [
            {port["port"]: port["targetPort"] for port in item["spec"]["ports"]}
            for item in objects if item["kind"] == "Service" and item["metadata"]["name"] == "pipeops-gateway"]
        self.assertEqual(ports, {80: "front", 443: "front-tls"})

    def test_the_gateway_has_no_token_and_no_role_without_the_component_that_reads_secrets(self) -> None:
        gateway = ROOT / "manifests" / "gateway"
        self.assertFalse(of_kind(gateway, "ServiceAccount")["automountServiceAccountToken"])
        self.assertEqual([item["kind"] for item in rendered(gateway) if "rules" in item or "roleRef" in item], [])
        with tempfile.TemporaryDirectory(dir=ROOT / "manifests" / "overlays") as overlay:
            (Path(overlay) / "kustomization.yaml").write_text(
                "resources: [../../gateway]\ncomponents:\n"
                "- ../../gateway/components/https\n- ../../gateway/components/certificate-secrets\n")
            role, binding = of_kind(Path(overlay), "Role"), of_kind(Path(overlay), "RoleBinding")
            account, pod = of_kind(Path(overlay), "ServiceAccount"), of_kind(Path(overlay), "Deployment")
            namespace = setting(Path(overlay), "PIPEOPS_GATEWAY_CERTIFICATE_SECRETS")
        self.assertEqual(
            role["rules"], [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"]}])
        self.assertEqual({item["metadata"]["namespace"] for item in (role, binding, account)}, {namespace})
        self.assertEqual(binding["roleRef"]["name"], role["metadata"]["name"])
        (subject,) = binding["subjects"]
        self.assertEqual((subject["name"], subject["namespace"]), (account["metadata"]["name"], namespace))
        self.assertTrue(account["automountServiceAccountToken"])
        self.assertTrue(pod["spec"]["template"]["spec"]["automountServiceAccountToken"])

    def test_cert_manager_writes_the_secret_that_the_gateway_shows(self) -> None:
        with tempfile.TemporaryDirectory(dir=ROOT / "manifests" / "overlays") as overlay:
            (Path(overlay) / "kustomization.yaml").write_text(
                "resources: [../../gateway]\ncomponents:\n" + "".join(
                    f"- ../../gateway/components/{name}\n" for name in ("https", "certificate-secrets", "cert-manager")))
            objects = rendered(Path(overlay))
            pod = of_kind(Path(overlay), "Deployment")["spec"]["template"]["spec"]
            certificate = of_kind(Path(overlay), "Certificate")
            domain = setting(Path(overlay), "PIPEOPS_GATEWAY_GATEWAY_DOMAIN")
            namespace = setting(Path(overlay), "PIPEOPS_GATEWAY_CERTIFICATE_SECRETS")
        issuers = {item["metadata"]["name"]: item["spec"]["acme"] for item in objects if item["kind"] == "ClusterIssuer"}
        self.assertEqual(
            {name: acme["server"] for name, acme in issuers.items()},
            {
                "pipeops-gateway": "https://acme-v02.api.letsencrypt.org/directory",
                "pipeops-gateway-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
            })
        accounts = {acme["privateKeySecretRef"]["name"] for acme in issuers.values()}
        self.assertEqual(len(accounts), 2, "the two authorities must not share an account's key")
        spec = certificate["spec"]
        self.assertIn(spec["issuerRef"]["name"], issuers)
        self.assertEqual(spec["issuerRef"]["kind"], "ClusterIssuer")
        self.assertEqual(spec["dnsNames"], [f"*.{domain}", domain])
        for acme in issuers.values():
            (solver,) = acme["solvers"]
            # A wildcard can be had in no other way.
            self.assertEqual(set(solver), {"selector", "dns01"})
            self.assertEqual(solver["selector"]["dnsZones"], [domain])
        self.assertIn(spec["secretName"], [item["secret"]["secretName"] for item in pod["volumes"]])
        self.assertEqual(certificate["metadata"]["namespace"], namespace)
        self.assertEqual(spec["secretTemplate"]["labels"], {"gateway.pipeops.io/certificate": "true"})

    def test_certificates_for_domains_can_be_had_with_what_the_component_allows(self) -> None:
        with tempfile.TemporaryDirectory(dir=ROOT / "manifests" / "overlays") as overlay:
            (Path(overlay) / "kustomization.yaml").write_text(
                "resources: [../../gateway]\ncomponents:\n" + "".join(
                    f"- ../../gateway/components/{name}\n"
                    for name in ("https", "certificate-secrets", "cert-manager", "domain-certificates")))
            objects = rendered(Path(overlay))
            issuer = setting(Path(overlay), "PIPEOPS_GATEWAY_DOMAIN_ISSUER")
            namespace = setting(Path(overlay), "PIPEOPS_GATEWAY_CERTIFICATE_SECRETS")
        (acme,) = [
            item["spec"]["acme"] for item in objects
            if item["kind"] == "ClusterIssuer" and item["metadata"]["name"] == issuer]
        (solver,) = acme["solvers"]
        self.assertEqual(set(solver), {"http01"})
        name = "pipeops-gateway-domains"
        role, binding = (
            next(item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)
            for kind in ("Role", "RoleBinding"))
        self.assertEqual({item["metadata"]["namespace"] for item in (role, binding)}, {namespace})
        allowed = {
            (group, resource, verb) for rule in role["rules"] for group in rule["apiGroups"]
            for resource in rule["resources"] for verb in rule["verbs"]}
        for verb in ("list", "watch", "create", "patch", "delete"):
            self.assertIn(("cert-manager.io", "certificates", verb), allowed)
        for resource in (("networking.k8s.io", "ingresses"), ("", "services")):
            for verb in ("list", "watch"):
                self.assertIn((*resource, verb), allowed)
        self.assertEqual({verb for _, resource, verb in allowed if resource == "secrets"}, {"delete"})


class Image(unittest.TestCase):
    def test_it_says_what_it_would_build(self) -> None:
        output = subprocess.run(
            [str(ROOT / "hack" / "image"), "--print", "--registry", "registry.test/us", "--tag", "1", "--push"],
            check=True, capture_output=True, text=True,
        ).stderr
        for program in ("pipeops-agent", "pipeops-gateway"):
            self.assertIn(f"--build-arg PROGRAM={program} --tag registry.test/us/{program}:1 .", output)
            self.assertIn(f"push registry.test/us/{program}:1", output)


if __name__ == "__main__":
    unittest.main()
