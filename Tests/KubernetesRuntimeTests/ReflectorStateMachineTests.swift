import KubernetesAPI
import Testing

@testable import KubernetesRuntime

@Suite("Reflector state machine")
struct ReflectorStateMachineTests {
    private typealias Machine = ReflectorStateMachine<Ingress>

    /// Writes down what a machine says.
    private struct Transcript {
        var machine: Machine
        var lines: [String] = []

        init(streaming: Bool = false) {
            machine = Machine(
                settings: .init(
                    pageSize: 2, initialBackoff: .milliseconds(800), maximumBackoff: .seconds(3),
                    watchTimeout: .seconds(300), usesStreamingList: streaming))
        }

        mutating func note(_ step: Machine.Step) {
            switch step.update {
            case nil: break
            case .replace(let objects, let kept):
                let names = objects.map { $0.metadata.name ?? "" }.sorted().joined(separator: " ")
                switch kept {
                case .these([]): lines.append("replace [\(names)]")
                case .these(let keys): lines.append("replace [\(names)] keep \(keys.map(\.name).sorted())")
                case .all: lines.append("replace [\(names)] keep all")
                }
            case .set(let object): lines.append("set \(object.metadata.name ?? "")")
            case .remove(let key, _): lines.append("remove \(key.name)")
            }
            if let object = step.undecodable { lines.append("skipped \(object.key?.name ?? "?")") }
            if step.gaveUpStreaming { lines.append("no streaming") }
            switch step.action {
            case .read: break
            case .wait(let delay, let reason): lines.append("wait \(delay) \(reason.rawValue)")
            case .list(let options):
                lines.append("list limit \(options.limit ?? 0) continue \(options.continueToken ?? "-")")
            case .watch(let options):
                lines.append(
                    options.sendInitialEvents ? "stream" : "watch from \(options.resourceVersion ?? "-")")
            }
        }

        mutating func take() -> [String] {
            defer { lines = [] }
            return lines
        }

        mutating func start() { note(machine.start(random: 0)) }
        mutating func page(_ version: Int, _ names: [String], more: String? = nil, bad: [UndecodableObject] = []) {
            let list = ResourceList(
                metadata: ListMeta(resourceVersion: "\(version)", continue: more),
                items: names.map { ingress($0, version) }, undecodable: bad)
            note(machine.listed(list, random: 0))
        }
        mutating func refuseList(_ kind: KubernetesError.Kind) {
            note(machine.listFailed(Self.error(kind), random: 0))
        }
        mutating func event(_ event: WatchEvent<Ingress>) { note(machine.received(event, random: 0)) }
        mutating func failWatch(_ kind: KubernetesError.Kind, causes: [KubernetesStatus.Cause] = []) {
            var error = Self.error(kind)
            error.status = KubernetesStatus(details: .init(causes: causes))
            note(machine.watchFailed(error, random: 0))
        }
        mutating func endWatch(after lived: Duration) { note(machine.watchEnded(lived: lived, random: 0)) }
        mutating func waited() { note(machine.waited(random: 0)) }

        private static func error(_ kind: KubernetesError.Kind) -> KubernetesError {
            KubernetesError(kind: kind, verb: .list, path: "/", message: "")
        }
    }

    private static let expired = WatchEvent<Ingress>.error(KubernetesStatus(code: 410, reason: "Expired"))

    private func watching(from version: Int = 5) -> Transcript {
        var it = Transcript()
        it.start()
        it.page(version, ["a"])
        _ = it.take()
        return it
    }

    @Test("lists page by page, swaps the whole state in at the end, and watches from the list's version")
    func pages() {
        var it = Transcript()
        it.start()
        it.page(5, ["a", "b"], more: "t1")
        it.page(5, ["c", "d"], more: "t2")
        #expect(it.machine.resourceVersion == nil)
        it.page(5, ["e"])
        #expect(
            it.take() == [
                "list limit 2 continue -", "list limit 2 continue t1", "list limit 2 continue t2",
                "replace [a b c d e]", "watch from 5",
            ])
        #expect(it.machine.resourceVersion == "5")
    }

    @Test("a continue token that has expired makes it list again in one piece, and forget the pages so far")
    func expiredContinue() {
        var it = Transcript()
        it.start()
        it.page(5, ["gone"], more: "t1")
        it.refuseList(.gone)
        it.page(9, ["a", "b", "c"])
        #expect(
            it.take() == [
                "list limit 2 continue -", "list limit 2 continue t1", "list limit 0 continue -",
                "replace [a b c]", "watch from 9",
            ])
    }

    @Test("a list that fails is repeated with growing waits, from its beginning")
    func listFails() {
        var it = Transcript()
        it.start()
        it.page(5, ["a"], more: "t")
        it.refuseList(.connection)
        it.waited()
        it.refuseList(.server)
        it.waited()
        it.refuseList(.tooManyRequests(retryAfter: .seconds(60)))
        it.waited()
        it.refuseList(.forbidden)
        #expect(
            it.take() == [
                "list limit 2 continue -", "list limit 2 continue t", "wait 0.4 seconds list_failed",
                "list limit 2 continue -", "wait 0.8 seconds list_failed", "list limit 2 continue -",
                "wait 60.0 seconds list_failed", "list limit 2 continue -", "wait 1.5 seconds list_failed",
            ])
    }

    @Test("events change the store and move the version a resumed watch starts from")
    func resume() {
        var it = watching()
        it.event(.added(ingress("b", 6)))
        it.event(.modified(ingress("a", 7)))
        it.event(.deleted(ingress("b", 8)))
        it.endWatch(after: .milliseconds(1))
        #expect(it.take() == ["set b", "set a", "remove b", "watch from 8"])
    }

    @Test("a bookmark moves the version and changes nothing")
    func bookmark() {
        var it = watching()
        it.event(.bookmark(resourceVersion: "42", initialEventsEnd: false))
        it.endWatch(after: .seconds(300))
        #expect(it.take() == ["watch from 42"])
    }

    @Test("an idle watch that lived long is resumed at once, one that ends at once again and again is waited for")
    func shortWatches() {
        var it = watching()
        it.endWatch(after: .seconds(300))
        it.endWatch(after: .milliseconds(10))
        it.waited()
        it.event(.bookmark(resourceVersion: "5", initialEventsEnd: false))
        it.endWatch(after: .milliseconds(10))
        it.waited()
        it.endWatch(after: .seconds(2))
        it.endWatch(after: .milliseconds(10))
        #expect(
            it.take() == [
                "watch from 5", "wait 0.4 seconds watch_too_short", "watch from 5",
                "wait 0.8 seconds watch_too_short", "watch from 5", "watch from 5",
                "wait 0.4 seconds watch_too_short",
            ])
    }

    @Test("410 in a watch makes it list at once; 410 after 410 is waited for, until something new was told")
    func expiredWatch() {
        var it = watching()
        it.event(Self.expired)
        it.page(10, ["a"])
        it.event(Self.expired)
        it.waited()
        it.page(11, ["a"])
        it.failWatch(.gone)
        it.waited()
        it.page(12, ["a"])
        it.event(.modified(ingress("a", 13)))
        it.event(Self.expired)
        #expect(
            it.take() == [
                "list limit 2 continue -", "replace [a]", "watch from 10", "wait 0.8 seconds expired",
                "list limit 2 continue -", "replace [a]", "watch from 11", "wait 1.5 seconds expired",
                "list limit 2 continue -", "replace [a]", "watch from 12", "set a", "list limit 2 continue -",
            ])
    }

    @Test("a server that was away and has forgotten the version is listed at once, however long it was away")
    func expiredAfterOutage() {
        var it = watching()
        for _ in 1...4 {
            it.failWatch(.connection)
            it.waited()
        }
        _ = it.take()
        it.failWatch(.gone)
        #expect(it.take() == ["list limit 2 continue -"])
        // What fails then is a failure of its own, and not the fifth.
        it.refuseList(.server)
        #expect(it.take() == ["wait 0.4 seconds list_failed"])
        it.waited()
        it.page(9, ["a"])
        it.failWatch(.gone)
        #expect(it.take().last == "wait 0.8 seconds expired")
    }

    @Test("a watch that breaks is resumed: at once if it had told something new, else after a wait")
    func cutWatch() {
        var it = watching()
        it.event(.modified(ingress("a", 6)))
        it.failWatch(.connection)
        it.failWatch(.connection)
        it.waited()
        it.failWatch(.timeout)
        it.waited()
        it.event(.modified(ingress("a", 7)))
        it.failWatch(.tooManyRequests(retryAfter: .seconds(9)))
        #expect(
            it.take() == [
                "set a", "watch from 6", "wait 0.4 seconds watch_failed", "watch from 6",
                "wait 0.8 seconds watch_failed", "watch from 6", "set a", "wait 9.0 seconds watch_failed",
            ])
    }

    @Test("other error events resume the watch after a wait; a version from the server's future means a new list")
    func errorEvents() {
        var it = watching()
        it.event(.error(KubernetesStatus(code: 500, details: .init(retryAfterSeconds: 4))))
        it.waited()
        let future = KubernetesStatus.Details(causes: [.init(reason: "ResourceVersionTooLarge")])
        it.event(.error(KubernetesStatus(code: 504, reason: "Timeout", details: future)))
        #expect(it.take() == ["wait 4.0 seconds watch_failed", "watch from 5", "list limit 2 continue -"])
        it.page(2, ["a"])
        it.failWatch(.server, causes: [.init(reason: "ResourceVersionTooLarge")])
        it.waited()
        #expect(
            it.take() == [
                "replace [a]", "watch from 2", "wait 0.4 seconds watch_failed", "list limit 2 continue -",
            ])
    }

    @Test("a type that the server does not know (yet) is asked for again and again")
    func unknownType() {
        var it = watching()
        it.failWatch(.notFound)
        it.waited()
        it.refuseList(.notFound)
        #expect(
            it.take() == [
                "wait 0.4 seconds watch_failed", "list limit 2 continue -", "wait 0.8 seconds list_failed",
            ])
    }

    @Test("an undecodable object is skipped and moves the version; its deletion still deletes")
    func undecodable() {
        var it = watching()
        let report = UndecodableObject(key: key("a"), resourceVersion: "6", problem: "p")
        it.event(.undecodable(type: "MODIFIED", report))
        it.event(.undecodable(type: "DELETED", UndecodableObject(key: key("a"), resourceVersion: "7", problem: "p")))
        it.endWatch(after: .milliseconds(1))
        #expect(it.take() == ["skipped a", "remove a", "skipped a", "watch from 7"])
    }

    @Test("a line that names no object makes it list again: something was missed")
    func garbage() {
        var it = watching()
        it.event(.undecodable(type: nil, UndecodableObject(key: nil, resourceVersion: nil, problem: "p")))
        it.waited()
        #expect(it.take() == ["skipped ?", "wait 0.4 seconds undecodable", "list limit 2 continue -"])
    }

    @Test("an undecodable object in a list is kept as it was known")
    func undecodableInList() {
        var it = Transcript()
        it.start()
        it.page(5, ["a"], bad: [UndecodableObject(key: key("b"), resourceVersion: "4", problem: "p")])
        #expect(it.take() == ["list limit 2 continue -", #"replace [a] keep ["b"]"#, "watch from 5"])
    }

    @Test(
        "an object in a list whose name cannot be read may be any: all that is known is kept", arguments: [true, false])
    func namelessInList(streaming: Bool) {
        var it = Transcript(streaming: streaming)
        it.start()
        let nameless = UndecodableObject(key: nil, resourceVersion: nil, problem: "p")
        let named = UndecodableObject(key: key("b"), resourceVersion: "4", problem: "p")
        if streaming {
            it.event(.added(ingress("a", 1)))
            for report in [nameless, named] { it.event(.undecodable(type: "ADDED", report)) }
            it.event(.bookmark(resourceVersion: "5", initialEventsEnd: true))
            #expect(it.take() == ["stream", "skipped ?", "skipped b", "replace [a] keep all"])
        } else {
            it.page(5, ["a"], bad: [nameless, named])
            #expect(it.take() == ["list limit 2 continue -", "replace [a] keep all", "watch from 5"])
        }
    }

    @Test("a streaming list gathers until its end, then goes on as a watch")
    func streaming() {
        var it = Transcript(streaming: true)
        it.start()
        it.event(.added(ingress("a", 1)))
        it.event(.added(ingress("b", 2)))
        it.event(.modified(ingress("a", 3)))
        it.event(.deleted(ingress("b", 4)))
        #expect(it.take() == ["stream"])
        it.event(.bookmark(resourceVersion: "5", initialEventsEnd: true))
        it.event(.added(ingress("c", 6)))
        it.endWatch(after: .seconds(2))
        it.event(Self.expired)
        #expect(it.take() == ["replace [a]", "set c", "watch from 6", "stream"])
    }

    @Test(
        "a server that refuses streaming lists, or has never heard of them, is listed in pages from then on",
        arguments: ["refused", "bookmark"])
    func noStreaming(how: String) {
        var it = Transcript(streaming: true)
        it.start()
        if how == "refused" {
            it.failWatch(.invalid)
        } else {
            it.event(.added(ingress("a", 1)))
            it.event(.bookmark(resourceVersion: "1", initialEventsEnd: false))
        }
        #expect(it.take() == ["stream", "no streaming", "list limit 2 continue -"])
        it.page(5, ["a"])
        it.event(Self.expired)
        #expect(it.take() == ["replace [a]", "watch from 5", "list limit 2 continue -"])
    }

    @Test("a streaming list that falls silent is had in pages; the next one is streamed again")
    func silentStream() {
        var it = Transcript(streaming: true)
        it.start()
        it.event(.added(ingress("half", 1)))
        it.note(it.machine.initialEventsTimedOut())
        it.page(5, ["a"])
        it.event(Self.expired)
        #expect(it.take() == ["stream", "list limit 2 continue -", "replace [a]", "watch from 5", "stream"])
    }

    @Test("a streaming list that breaks is begun again, and nothing of the half one is kept")
    func brokenStream() {
        var it = Transcript(streaming: true)
        it.start()
        it.event(.added(ingress("half", 1)))
        it.failWatch(.connection)
        it.waited()
        it.event(.added(ingress("a", 2)))
        it.event(.bookmark(resourceVersion: "5", initialEventsEnd: true))
        #expect(it.take() == ["stream", "wait 0.4 seconds watch_failed", "stream", "replace [a]"])
    }

    @Test("waits stay between half and the whole of the backoff, and never beyond the maximum")
    func jitter() {
        var machine = Machine(
            settings: .init(initialBackoff: .seconds(1), maximumBackoff: .seconds(4), usesStreamingList: false))
        _ = machine.start(random: 0)
        let error = KubernetesError(kind: .connection, verb: .list, path: "/", message: "")
        var waits: [Duration] = []
        for random in [0.0, 0.999, 0.5, 0.999, 0.999] {
            guard case .wait(let delay, _) = machine.listFailed(error, random: random).action else { return }
            waits.append(delay)
            _ = machine.waited(random: 0)
        }
        #expect(waits[0] == .milliseconds(500))
        #expect(waits[1] > .milliseconds(1900) && waits[1] < .seconds(2))
        #expect(waits[2] == .seconds(3))
        #expect(waits[3...].allSatisfy { $0 < .seconds(4) && $0 > .milliseconds(3900) })
    }

    @Test("watches are asked to end after 1 to 2 times the timeout, and selectors travel with every request")
    func options() {
        var machine = Machine(
            settings: .init(
                watchTimeout: .seconds(300), usesStreamingList: true, labelSelector: "l", fieldSelector: "f"))
        #expect(
            machine.start(random: 0.5).action
                == .watch(
                    WatchOptions(
                        timeoutSeconds: 450, sendInitialEvents: true, labelSelector: "l", fieldSelector: "f")))
        #expect(
            machine.initialEventsTimedOut().action
                == .list(ListOptions(limit: 500, labelSelector: "l", fieldSelector: "f")))
    }
}
