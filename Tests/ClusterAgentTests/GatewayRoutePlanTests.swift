import ClusterAgent
import Foundation
import KubernetesAPI
import KubernetesRuntime
import Routing
import Testing

@Suite("What the GatewayRoute says")
struct GatewayRoutePlanTests {
    static func plan(
        _ standing: (inout RouteStanding) -> Void = { _ in }, mode: AgentSettings.SyncMode = .auto,
        type: ClusterType = .private, ingress: Ingress = Sample.ingress("my-app"), now: Date = Sample.date(0)
    ) throws -> GatewayRoutePlan {
        let extraction = try Sample.extract(ingress, [Sample.service("my-app")])
        var stands = RouteStanding()
        stands.routeCount = extraction.routes.count
        stands.publication = .init(mode: mode, clusterType: type)
        stands.tunnel = .up
        standing(&stands)
        return GatewayRoutePlan(
            ingress: ingress, extraction: extraction, standing: stands,
            finding: .init(clusterType: type, reason: .noIngressController), controller: nil, syncMode: mode,
            clusterUUID: Sample.clusterUUID, now: now)
    }

    /// The object after it was written, as the API server would return it.
    static func written(_ plan: GatewayRoutePlan, over existing: GatewayRoute? = nil) throws -> GatewayRoute {
        var object = existing
        if let references = plan.ownerReferences(replacing: object) { object?.metadata.ownerReferences = references }
        if var applied = plan.object(existing: object) {
            // Applying touches no reference of another UID.
            let uids = Set((applied.metadata.ownerReferences ?? []).map(\.uid))
            applied.metadata.ownerReferences? += (object?.metadata.ownerReferences ?? []).filter {
                !uids.contains($0.uid)
            }
            object = applied
            object?.metadata.generation = (existing?.metadata.generation ?? 0) + 1
            object?.status = existing?.status
        }
        var result = try #require(object)
        if let status = plan.status(current: result)?.status { result.status = status }
        return result
    }

    static func key() throws -> RouteKey { try Sample.route("my-app.example.com").key }

    @Test("Programmed follows the table, in its order")
    func programmed() throws {
        let key = try Self.key()
        let conflict: (inout RouteStanding) -> Void = { $0.conflicts = [.init(key: key, winner: Sample.key("older"))] }
        let taken: (inout RouteStanding) -> Void = {
            $0.rejections = [
                .init(key: key, reason: "QuotaExceeded", message: "full"),
                .init(key: key, reason: "HostnameConflict", message: "taken"),
            ]
        }
        func reason(_ plan: GatewayRoutePlan) -> ProgrammedReason { plan.programmedVerdict.reason }
        #expect(reason(try Self.plan()) == .programmed)
        let pending = try Self.plan { $0.pending = 1 }
        #expect(reason(pending) == .pending)
        let refused = try Self.plan { $0.rejections = [.init(key: key, reason: "QuotaExceeded", message: "")] }
        #expect(reason(refused) == .rejected)
        #expect(reason(try Self.plan(taken)) == .hostnameConflict)
        let foreign = try Self.plan {
            $0.rejections = [.init(key: key, reason: "HostnameNotAllowed", message: "not allowed")]
        }
        #expect(reason(foreign) == .hostnameNotAllowed)
        let unreachable: (inout RouteStanding) -> Void = { $0.tunnel = .down }
        let takenUnreachable = try Self.plan { standing in
            taken(&standing)
            unreachable(&standing)
        }
        #expect(reason(takenUnreachable) == .tunnelDown)
        let lostUnreachable = try Self.plan { standing in
            conflict(&standing)
            unreachable(&standing)
        }
        #expect(reason(lostUnreachable) == .routeConflict)
        #expect(reason(try Self.plan(conflict, type: .unknown)) == .pending)
        #expect(reason(try Self.plan(conflict, type: .public)) == .clusterPublic)
        #expect(reason(try Self.plan(mode: .always, type: .public)) == .programmed)
        #expect(reason(try Self.plan(conflict, mode: .never)) == .syncDisabled)
        let empty = try Self.plan({ $0.routeCount = 0 }, mode: .never)
        #expect(reason(empty) == .noRoutes)
        #expect(try Self.plan(conflict).programmedVerdict.message.contains("default/older"))
        #expect(try Self.plan().programmedVerdict.isTrue)
    }

    @Test("A new Ingress gets an object that belongs to it")
    func newObject() throws {
        let object = try #require(try Self.plan().object(existing: nil))
        #expect(object.key == Sample.key("my-app"))
        #expect(object.isOurs)
        #expect(object.spec == .init(ingressName: "my-app", clusterUUID: Sample.clusterUUID))
        let owner = try #require(object.metadata.ownerReferences?.first)
        #expect(owner.apiVersion == "networking.k8s.io/v1")
        #expect(owner.kind == "Ingress")
        #expect(owner.uid == "uid-my-app")
        #expect(owner.controller == true)
    }

    @Test("The status tells type, target, hosts, routes and generations")
    func status() throws {
        let written = try Self.written(try Self.plan { $0.revision = 7 })
        let status = try #require(written.status)
        #expect(status.clusterType == .private)
        #expect(status.clusterTypeReason == "NoIngressController")
        #expect(status.target == "Service")
        #expect(status.hosts == ["my-app.example.com"])
        #expect(status.routeCount == 1)
        #expect(
            status.routes == [
                .init(
                    host: "my-app.example.com", path: "/", pathType: "Prefix", service: "my-app", port: 8080,
                    tls: false)
            ])
        #expect(status.observedIngressGeneration == 1)
        #expect(status.revision == 7)
        #expect(status.conditions?.map(\.type) == ["Accepted", "ResolvedRefs", "Programmed"])
        #expect(status.conditions?.map(\.status) == [.true, .true, .true])
        #expect(status.conditions?.map(\.observedGeneration) == [1, 1, 1])
        #expect(status.conditions?.map(\.reason) == ["Accepted", "ResolvedRefs", "Programmed"])
    }

    @Test("An unchanged world is not written again, also not after a restart with other revisions")
    func noWrite() throws {
        let written = try Self.written(try Self.plan { $0.revision = 7 })
        let again = try Self.plan({ $0.revision = 9 }, now: Sample.date(100))
        #expect(again.object(existing: written) == nil)
        #expect(again.status(current: written) == nil)
    }

    @Test("Another controller's condition is left alone, and costs no write")
    func foreignCondition() throws {
        var written = try Self.written(try Self.plan())
        written.status?.conditions?.insert(
            Condition(
                type: "CertificateReady", status: .true, observedGeneration: 1, lastTransitionTime: Sample.date(5),
                reason: "Issued", message: ""), at: 0)
        #expect(try Self.plan(now: Sample.date(10)).status(current: written) == nil)
    }

    @Test("An Ingress without routes has a status that is not written again either")
    func emptyLists() throws {
        var ingress = Sample.ingress("my-app")
        ingress.spec?.rules = []
        let plan = try Self.plan(ingress: ingress)
        var written = try Self.written(plan)
        #expect(written.status?.condition(.programmed)?.reason == "NoRoutes")
        #expect(plan.status(current: written) == nil)
        written.status?.hosts = []
        written.status?.routes = []
        #expect(plan.status(current: written) == nil)
    }

    @Test("A condition keeps its time while its status stays, whatever its reason")
    func transitionTimes() throws {
        let first = try Self.written(try Self.plan({ $0.pending = 1 }, now: Sample.date(0)))
        let second = try Self.written(try Self.plan({ $0.tunnel = .down }, now: Sample.date(10)), over: first)
        let third = try Self.written(try Self.plan(now: Sample.date(20)), over: second)
        func programmed(_ route: GatewayRoute) throws -> Condition {
            try #require(route.status?.condition(.programmed))
        }
        #expect(try programmed(second).reason == "TunnelDown")
        #expect(try programmed(second).lastTransitionTime == Sample.date(0))
        #expect(try programmed(third).lastTransitionTime == Sample.date(20))
        #expect(try #require(third.status?.condition(.accepted)).lastTransitionTime == Sample.date(0))
    }

    @Test("Just started, an existing Programmed of the same routes stays; of other routes it does not")
    func restart() throws {
        let written = try Self.written(try Self.plan { $0.revision = 7 })
        let starting: (inout RouteStanding) -> Void = {
            $0.pending = 1
            $0.tunnel = .starting
        }
        #expect(try Self.plan(starting).status(current: written) == nil)
        let changed = try Self.plan(starting, ingress: Sample.ingress("my-app", host: "other.example.com"))
        let status = try #require(changed.status(current: written)?.status)
        #expect(status.condition(.programmed)?.reason == "Pending")
    }

    @Test("What a person edited is put right", arguments: ["label", "owner", "spec", "hosts", "condition", "status"])
    func edits(what: String) throws {
        let plan = try Self.plan()
        let good = try Self.written(plan)
        var edited = good
        switch what {
        case "label": edited.metadata.labels = ["app.kubernetes.io/managed-by": "somebody"]
        case "owner": edited.metadata.ownerReferences = nil
        case "spec": edited.spec?.clusterUUID = "other"
        case "hosts": edited.status?.hosts = ["evil.example.com"]
        case "condition": edited.status?.conditions?[2].status = .false
        default: edited.status = nil
        }
        #expect(plan.object(existing: edited) != nil || plan.status(current: edited) != nil)
        let repaired = try Self.written(plan, over: edited)
        #expect(repaired.spec == good.spec)
        #expect(repaired.status?.hosts == good.status?.hosts)
        #expect(repaired.status?.condition(.programmed)?.status == .true)
        #expect(repaired.isOurs)
    }

    /// An edit of the reference to the Ingress, or of what is beside it.
    enum OwnerEdit: String, CaseIterable {
        case name, kind, apiVersion, uid, controller
        case anotherController

        func apply(to references: inout [OwnerReference]) {
            switch self {
            case .name: references[0].name = "somebody-else"
            case .kind: references[0].kind = "Gateway"
            case .apiVersion: references[0].apiVersion = "extensions/v1beta1"
            case .uid: references[0].uid = "somebody-else"
            case .controller: references[0].controller = false
            case .anotherController:
                references[0].controller = nil
                references.append(Self.shop(controller: true))
            }
        }

        static func shop(controller: Bool?) -> OwnerReference {
            OwnerReference(
                apiVersion: "example.com/v1", kind: "Shop", name: "shop", uid: "uid-shop", controller: controller)
        }
    }

    @Test("However a person edited the owner, the Ingress is the only controller again", arguments: OwnerEdit.allCases)
    func owner(edit: OwnerEdit) throws {
        let plan = try Self.plan()
        let good = try Self.written(plan)
        var edited = good
        var references = try #require(good.metadata.ownerReferences)
        edit.apply(to: &references)
        edited.metadata.ownerReferences = references
        #expect(try Self.written(plan, over: edited).metadata.ownerReferences == good.metadata.ownerReferences)
    }

    @Test("What others add to the owner references stays, and costs no write")
    func othersReferences() throws {
        let plan = try Self.plan()
        var shared = try Self.written(plan)
        shared.metadata.ownerReferences?[0].blockOwnerDeletion = true
        shared.metadata.ownerReferences?.append(OwnerEdit.shop(controller: nil))
        #expect(plan.object(existing: shared) == nil)
        #expect(plan.ownerReferences(replacing: shared) == nil)
        // Also where another controller has to go.
        shared.metadata.ownerReferences?[0].uid = "somebody-else"
        let kept = try #require(plan.ownerReferences(replacing: shared))
        #expect(kept.map(\.uid) == ["uid-shop", "uid-my-app"])
    }

    @Test("An Ingress that was made anew takes its GatewayRoute over")
    func ingressMadeAnew() throws {
        let written = try Self.written(try Self.plan())
        var ingress = Sample.ingress("my-app")
        ingress.metadata.uid = "another"
        let taken = try Self.written(try Self.plan(ingress: ingress), over: written)
        #expect(taken.metadata.ownerReferences?.map(\.uid) == ["another"])
    }

    @Test("No message is longer than the custom resource allows, however long the names are that it quotes")
    func longMessages() throws {
        let limit = try CustomResourceDefinitionTests.longestMessage()
        #expect(limit == GatewayRoutePlan.longestMessage)
        // The server counts characters of Unicode, not bytes.
        let long = String(repeating: "é", count: limit)
        let key = try Self.key()
        let plan = try Self.plan { $0.rejections = [.init(key: key, reason: "QuotaExceeded", message: long)] }
        let status = try #require(try Self.written(plan).status)
        let message = try #require(status.condition(.programmed)).message
        #expect(message.unicodeScalars.count == limit)
        #expect(message.hasSuffix("é…"))
        // And it is the same the next time.
        var current = try Self.written(plan)
        current.status = status
        #expect(plan.status(current: current) == nil)
    }

    @Test("An Ingress with hundreds of paths lists the first of them and counts all")
    func manyRoutes() throws {
        let paths = Dictionary(uniqueKeysWithValues: (0..<400).map { ("/\($0)", "my-app") })
        let status = try Self.written(try Self.plan(ingress: Sample.ingress("my-app", paths: paths))).status
        #expect(status?.routes?.count == 256)
        #expect(status?.routeCount == 400)
    }

    @Test("Reasons fit what the API allows, and every message is a sentence")
    func reasons() {
        let pattern = /[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?/
        let reasons: [String] =
            [AcceptedReason.accepted, .noRules, .unsupportedBackend, .invalidHost, .invalidPath, .noUsableRule]
            .map(\.rawValue) + ExposureDetector.Reason.allCases.map(\.rawValue)
        for reason in reasons { #expect(reason.wholeMatch(of: pattern) != nil) }
    }
}

@Suite("What people are told by Events")
struct GatewayRouteNoticeTests {
    static func status(
        _ standing: (inout RouteStanding) -> Void = { _ in }, type: ClusterType = .private,
        ingress: Ingress = Sample.ingress("my-app")
    ) throws -> GatewayRoute.Status {
        try #require(
            try GatewayRoutePlanTests.written(
                try GatewayRoutePlanTests.plan(standing, type: type, ingress: ingress)
            ).status)
    }

    static func reasons(_ old: GatewayRoute.Status?, _ new: GatewayRoute.Status) -> [String] {
        GatewayRouteNotice.notices(from: old, to: new).map { "\($0.type.rawValue) \($0.reason)" }
    }

    @Test("A new Ingress: accepted, then programmed; what passes in between is no Event")
    func life() throws {
        let pending = try Self.status { $0.pending = 1 }
        let programmed = try Self.status()
        #expect(Self.reasons(nil, pending) == ["Normal Accepted"])
        #expect(Self.reasons(pending, programmed) == ["Normal Programmed"])
        #expect(Self.reasons(programmed, programmed) == [])
        #expect(Self.reasons(programmed, try Self.status { $0.tunnel = .down }) == [])
    }

    @Test("Refusals and conflicts are warnings")
    func warnings() throws {
        let programmed = try Self.status()
        let key = try Sample.route("my-app.example.com").key
        let taken = try Self.status { $0.rejections = [.init(key: key, reason: "HostnameConflict", message: "taken")] }
        let lost = try Self.status { $0.conflicts = [.init(key: key, winner: Sample.key("older"))] }
        #expect(Self.reasons(programmed, taken) == ["Warning HostnameConflict"])
        #expect(Self.reasons(taken, lost) == ["Warning RouteConflict"])
    }

    @Test("A missing Service is a warning, and its return is told")
    func missingService() throws {
        let missing = try Self.status(ingress: Sample.ingress("my-app", paths: ["/": "gone"]))
        #expect(Self.reasons(nil, missing) == ["Normal Accepted", "Warning ServiceNotFound"])
        #expect(Self.reasons(missing, try Self.status()) == ["Normal ResolvedRefs", "Normal Programmed"])
    }

    @Test("A rule that was left out is a warning on an accepted Ingress")
    func skippedRule() throws {
        let skipped = try Self.status(ingress: Sample.ingress("my-app", paths: ["/": "my-app", "bad": "my-app"]))
        #expect(Self.reasons(nil, skipped) == ["Warning RuleSkipped", "Normal Programmed"])
    }

    @Test("A change of the cluster's type is told, with what it means for the routes")
    func clusterType() throws {
        let before = try Self.status()
        let after = try Self.status(type: .public)
        #expect(Self.reasons(before, after) == ["Normal ClusterTypeChanged", "Normal ClusterPublic"])
        #expect(Self.reasons(after, before) == ["Normal ClusterTypeChanged", "Normal Programmed"])
        let undecided = try Self.status(type: .unknown)
        #expect(Self.reasons(undecided, before) == ["Normal Programmed"])
    }
}
