import DevCluster
import Foundation
import TestSupport
import Testing

/// Unmodified kubectl, run against a server in this process.
struct Kubectl {
    /// Where kubectl is, if it is installed.
    static let path = Command.path(of: "kubectl")

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let directory: URL

    var kubeconfig: String { directory.appendingPathComponent("kubeconfig").path }

    /// Runs kubectl to its end.
    ///
    /// - Returns: What it wrote and its exit code.
    func run(_ arguments: [String], input: String) async throws -> Command.Result {
        let environment = [
            "KUBECONFIG": kubeconfig, "HOME": directory.path,
            "KUBECACHEDIR": directory.appendingPathComponent("c").path,
        ]
        let command = Command(Self.path ?? "kubectl", environment: environment)
        return try await command.run(arguments, input: input)
    }

    /// Runs kubectl, demands that it succeeds and gives what it wrote.
    @discardableResult
    func succeed(
        _ arguments: String..., input: String = "", sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        let result = try await run(arguments, input: input)
        #expect(
            result.code == 0, "kubectl \(arguments.joined(separator: " ")): \(result.errors)",
            sourceLocation: sourceLocation)
        return result.output
    }

    /// Runs kubectl, demands that it fails and gives what it complained about.
    func fail(
        _ arguments: String..., input: String = "", sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        let result = try await run(arguments, input: input)
        #expect(result.code != 0, sourceLocation: sourceLocation)
        return result.errors
    }

    static func with(_ body: (Kubectl, DevCluster) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("kubectl-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let kubectl = Kubectl(directory: directory)
        var configuration = DevCluster.Configuration()
        configuration.kubeconfigPath = kubectl.kubeconfig
        let cluster = try await DevCluster.start(configuration)
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(kubectl, cluster))
        } catch {
            result = .failure(error)
        }
        try await cluster.shutDown()
        try result.get()
    }
}

@Suite(
    "Unmodified kubectl", .enabled(if: Kubectl.path != nil, "kubectl is not installed"), .timeLimit(.minutes(3)))
struct KubectlTests {
    private static let application = """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web, namespace: default}
        spec:
          replicas: 2
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              containers:
                - name: web
                  image: example/web
                  ports: [{containerPort: 8080}]
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: default}
        spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
        ---
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata: {name: web, namespace: default}
        spec:
          rules:
            - host: web.example.com
              http:
                paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]

        """

    private static let definition = """
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: things.example.com}
        spec:
          group: example.com
          scope: Namespaced
          names: {kind: Thing, plural: things, shortNames: [th], categories: [all-things]}
          versions:
            - name: v1
              served: true
              storage: true
              subresources: {status: {}}
              additionalPrinterColumns:
                - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
                - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
              schema:
                openAPIV3Schema:
                  type: object
                  properties:
                    spec: {type: object, properties: {size: {type: integer, description: How large it is.}}}
                    status:
                      type: object
                      properties:
                        conditions:
                          type: array
                          items: {type: object, properties: {type: {type: string}, status: {type: string}}}

        """

    @Test("apply creates, applies again without a change, and configures what has changed")
    func apply() async throws {
        try await Kubectl.with { kubectl, _ in
            let created = try await kubectl.succeed("apply", "-f", "-", input: Self.application)
            #expect(created.split(separator: "\n").allSatisfy { $0.hasSuffix(" created") })
            let again = try await kubectl.succeed("apply", "-f", "-", input: Self.application)
            #expect(again.split(separator: "\n").count == 3)
            #expect(again.split(separator: "\n").allSatisfy { $0.hasSuffix(" unchanged") })
            let changed = Self.application.replacing("web.example.com", with: "www.example.com")
                .replacing("containerPort: 8080", with: "containerPort: 9090")
            let configured = try await kubectl.succeed("apply", "-f", "-", input: changed)
            #expect(configured.contains("ingress.networking.k8s.io/web configured"))
            #expect(configured.contains("service/web unchanged"))
            let ports = try await kubectl.succeed(
                "get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[*].ports[*].containerPort}")
            #expect(ports == "9090")
            #expect(try await kubectl.succeed("get", "ingress").contains("www.example.com"))
            let wide = try await kubectl.succeed("get", "services", "-A", "-o", "wide")
            #expect(wide.contains("app=web"))
            #expect(
                try await kubectl.succeed("get", "-f", "-", "-o", "name", input: Self.application).contains(
                    "service/web"))
            #expect(try await kubectl.succeed("describe", "ingress", "web").contains("www.example.com"))
            #expect(try await kubectl.succeed("delete", "-f", "-", input: Self.application).contains("deleted"))
            #expect(try await kubectl.succeed("get", "ingress", "-o", "name").isEmpty)
        }
    }

    @Test("apply --server-side shares fields between managers and reports conflicts")
    func serverSideApply() async throws {
        try await Kubectl.with { kubectl, _ in
            func configMap(_ value: String) -> String {
                "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: default}, data: {x: '\(value)'}}"
            }
            try await kubectl.succeed("apply", "--server-side", "--field-manager=a", "-f", "-", input: configMap("1"))
            let conflict = try await kubectl.fail(
                "apply", "--server-side", "--field-manager=b", "-f", "-", input: configMap("2"))
            #expect(conflict.contains(#"conflict with "a" using v1: .data.x"#))
            try await kubectl.succeed(
                "apply", "--server-side", "--field-manager=b", "--force-conflicts", "-f", "-", input: configMap("2"))
            let value = try await kubectl.succeed("get", "configmap", "c", "-o", "jsonpath={.data.x}")
            #expect(value == "2")
            // From client-side to server-side apply: kubectl moves the ownership itself.
            try await kubectl.succeed("apply", "-f", "-", input: configMap("3").replacing("name: c", with: "name: d"))
            try await kubectl.succeed(
                "apply", "--server-side", "-f", "-", input: configMap("4").replacing("name: c", with: "name: d"))
        }
    }

    @Test("Custom resources are applied, patched, waited for, explained and described")
    func customResources() async throws {
        try await Kubectl.with { kubectl, _ in
            try await kubectl.succeed("apply", "-f", "-", input: Self.definition)
            try await kubectl.succeed("wait", "--for=condition=established", "crd/things.example.com", "--timeout=10s")
            let thing =
                "{apiVersion: example.com/v1, kind: Thing, metadata: {name: t, namespace: default}, spec: {size: 1}}"
            try await kubectl.succeed("apply", "-f", "-", input: thing)
            #expect(try await kubectl.succeed("apply", "-f", "-", input: thing).contains("unchanged"))
            let unknown = try await kubectl.fail(
                "apply", "-f", "-", input: thing.replacing("size: 1", with: "size: 1, colour: red"))
            #expect(unknown.contains(#"unknown field "spec.colour""#))
            try await kubectl.succeed(
                "patch", "thing", "t", "--subresource=status", "--type=merge", "-p",
                #"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#)
            try await kubectl.succeed("wait", "--for=condition=Ready", "th/t", "--timeout=10s")
            let rows = try await kubectl.succeed("get", "all-things")
            #expect(rows.contains("READY") && rows.contains("True"))
            #expect(try await kubectl.succeed("describe", "thing", "t").contains("Type:    Ready"))
            #expect(try await kubectl.succeed("explain", "things.spec.size").contains("How large it is."))
            try await kubectl.succeed("label", "thing", "t", "a=b")
            try await kubectl.succeed("annotate", "thing", "t", "c=d")
            #expect(try await kubectl.succeed("get", "things", "-l", "a in (b)", "-o", "name").contains("thing"))
            let jsonPatch = #"[{"op":"replace","path":"/spec/size","value":7}]"#
            try await kubectl.succeed("patch", "thing", "t", "--type=json", "-p", jsonPatch)
            #expect(try await kubectl.succeed("get", "thing", "t", "-o", "jsonpath={.spec.size}") == "7")
            #expect(try await kubectl.succeed("api-resources", "--api-group=example.com").contains("things"))
            try await kubectl.succeed("delete", "crd", "things.example.com")
        }
    }

    @Test("get -w shows changes as they happen")
    func watch() async throws {
        try await Kubectl.with { kubectl, cluster in
            async let watched = kubectl.run(
                ["get", "configmaps", "--watch", "--request-timeout=4s", "-o", "name"], input: "")
            try await eventually("kubectl watches") { cluster.openWatches > 0 }
            cluster.perform(
                "POST", "/api/v1/namespaces/default/configmaps", ["metadata": ["name": "seen"]])
            #expect(try await watched.output.contains("configmap/seen"))
        }
    }

    @Test("Objects are made with create, replaced, and namespaces deleted with what they hold")
    func create() async throws {
        try await Kubectl.with { kubectl, _ in
            try await kubectl.succeed("create", "namespace", "team")
            try await kubectl.succeed("create", "configmap", "c", "-n", "team", "--from-literal=a=b")
            try await kubectl.succeed("create", "secret", "generic", "s", "-n", "team", "--from-literal=token=abc")
            #expect(
                try await kubectl.succeed("get", "secret", "s", "-n", "team", "-o", "jsonpath={.data.token}") == "YWJj")
            try await kubectl.succeed(
                "create", "-f", "-",
                input: "{apiVersion: v1, kind: ConfigMap, metadata: {name: d, namespace: team}, data: {x: '1'}}")
            try await kubectl.succeed(
                "replace", "-f", "-",
                input: "{apiVersion: v1, kind: ConfigMap, metadata: {name: d, namespace: team}, data: {x: '2'}}")
            #expect(try await kubectl.succeed("get", "cm", "d", "-n", "team", "-o", "jsonpath={.data.x}") == "2")
            for arguments in [
                ["serviceaccount", "sa"], ["service", "clusterip", "svc", "--tcp=80:8080"],
                ["deployment", "web", "--image=example/web", "--port=80", "--replicas=2"],
                ["ingress", "ing", "--rule=a.example.com/x*=svc:80"], ["role", "r", "--verb=get", "--resource=pods"],
                ["rolebinding", "rb", "--role=r", "--serviceaccount=team:sa"],
                ["poddisruptionbudget", "pdb", "--selector=app=web", "--min-available=1"],
            ] {
                let result = try await kubectl.run(["create"] + arguments + ["-n", "team"], input: "")
                #expect(result.code == 0, "create \(arguments): \(result.errors)")
            }
            let rule = try await kubectl.succeed(
                "get", "ingress", "ing", "-n", "team", "-o", "jsonpath={.spec.rules[0]}")
            let backend = #""backend":{"service":{"name":"svc","port":{"number":80}}}"#
            #expect(rule.contains(#""host":"a.example.com""#) && rule.contains(backend))
            let replicas = try await kubectl.succeed(
                "get", "deployment", "web", "-n", "team", "-o", "jsonpath={.spec.replicas} {..containerPort}")
            #expect(replicas == "2 80")
            try await kubectl.succeed("delete", "namespace", "team")
            #expect(try await kubectl.succeed("get", "configmaps", "-A", "-o", "name").isEmpty)
            #expect(try await kubectl.succeed("auth", "can-i", "create", "pods").contains("yes"))
        }
    }
}
