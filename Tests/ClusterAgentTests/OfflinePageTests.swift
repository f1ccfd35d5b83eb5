import ClusterAgent
import KubernetesAPI
import Routing
import TestSupport
import Testing

@Suite("An Ingress's page for when its cluster is away")
struct OfflinePageTests {
    private static let page = "<!doctype html><title>Back soon</title>\n"

    private static func configMap(_ page: String = page, key: String = "index.html", labelled: Bool = true) -> ConfigMap
    {
        ConfigMap(
            metadata: ObjectMeta(
                name: "away", namespace: "default", labels: labelled ? [OfflinePage.label: "true"] : nil),
            data: [key: page])
    }

    private func page(_ annotation: String, _ configMap: ConfigMap? = configMap()) -> OfflinePage {
        OfflinePage([OfflinePage.annotation: annotation], namespace: "default") {
            $0 == configMap?.key ? configMap : nil
        }
    }

    @Test("is what the ConfigMap holds in index.html, or in the key that is named")
    func found() {
        #expect(page("away").content == Self.page)
        #expect(page("away/away.html", Self.configMap(key: "away.html")).content == Self.page)
        #expect(page("away").remark == nil)
        let unread = OfflinePage([OfflinePage.annotation: "away"], namespace: "default", configMap: nil)
        #expect(unread.content == nil && unread.remark?.contains("setting offline-pages is off") == true)
        #expect(OfflinePage([:], namespace: "default") { _ in nil } == OfflinePage(nil, namespace: "x") { _ in nil })
    }

    @Test(
        "that cannot be shown is told of, with what to do",
        arguments: [
            (
                "away", nil,
                "ConfigMap default/away is not there, or lacks the label gateway.pipeops.io/offline-page=true"
            ),
            ("other", configMap(), "ConfigMap default/other is not there"),
            ("away/x.html", configMap(), "ConfigMap default/away has nothing in x.html"),
            ("away", configMap(""), "ConfigMap default/away has nothing in index.html"),
            ("away", configMap(String(repeating: "x", count: 16_385)), "has more than 16384 bytes in index.html"),
            ("away", configMap("a\0b"), "has control characters in index.html"),
            ("Not a name", configMap(), "\"Not a name\" is not NAME or NAME/KEY of a ConfigMap"),
            ("away/", configMap(), "\"away/\" is not NAME or NAME/KEY"),
        ] as [(String, ConfigMap?, String)])
    func refused(annotation: String, configMap: ConfigMap?, problem: String) {
        let page = page(annotation, configMap)
        #expect(page.content == nil)
        #expect(page.remark?.contains(problem) == true, "\(page.remark ?? "")")
    }

    @Test("travels with the routes, follows its ConfigMap, and the routes stay where it goes")
    func followed() async throws {
        try await PipelineWorld.run(configure: { $0.offlinePages = true }) { world in
            try await world.create(Sample.service("my-app", clusterIP: nil))
            try await world.create(
                Sample.ingress(
                    "my-app", annotations: [OfflinePage.annotation: "away", OfflinePage.contentAnnotation: "forged"]))
            func content() -> String?? {
                world.pipeline.ledger.read { ledger in
                    ledger.routesInOrder.first.map { $0.annotations[OfflinePage.contentAnnotation] }
                }
            }
            try await eventually("the route is there, without a page") { content() == .some(nil) }
            try await eventually("a person is told") {
                try await world.route("my-app")?.status?.condition(.accepted)?.message.contains(
                    "default/away is not there")
                    == true
            }
            try await world.create(Self.configMap())
            try await eventually("the page is with it") { content() == Self.page }
            try await eventually("nobody is told any more") {
                try await world.route("my-app")?.status?.condition(.accepted)?.message.contains("default/away") == false
            }
            try await world.client.delete(ConfigMap.self, Self.configMap().key)
            try await eventually("the page is gone, the route is not") { content() == .some(nil) }
        }
    }
}
