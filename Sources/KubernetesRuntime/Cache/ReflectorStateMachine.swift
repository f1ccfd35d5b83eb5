package import KubernetesAPI

/// Keeps a local copy of a collection true: list → watch → resume at the last version → list again when that is gone.
///
/// Pure: it is told what happened and says what to do next; waits are durations, randomness comes with the event.
///
/// | state | lawful events | successors |
/// |---|---|---|
/// | `idle` | `start` | `listing`, `streaming` |
/// | `listing` | `listed`, `listFailed` | `listing` (next page), `watching`, `waiting` |
/// | `streaming` | `received`, `watchEnded`, `watchFailed`, `initialEventsTimedOut` | any but `idle` |
/// | `watching` | `received`, `watchEnded`, `watchFailed` | `watching`, `waiting`, `listing`, `streaming` |
/// | `waiting` | `waited` | `listing`, `streaming`, `watching` |
package struct ReflectorStateMachine<R: KubernetesResource>: Sendable {
    /// Waits and sizes.
    package struct Settings: Sendable {
        /// Objects asked for in one page.
        package var pageSize: Int
        /// First wait after a failure; doubles with each one that follows.
        package var initialBackoff: Duration
        package var maximumBackoff: Duration
        /// A watch that ends sooner than this without having told anything new counts as a failure.
        package var shortestHealthyWatch: Duration
        /// The server is asked to end a watch after this, times 1 to 2.
        package var watchTimeout: Duration
        /// Ask for a streaming list first.
        package var usesStreamingList: Bool
        package var labelSelector: String?
        package var fieldSelector: String?

        package init(
            pageSize: Int = 500, initialBackoff: Duration = .milliseconds(800), maximumBackoff: Duration = .seconds(30),
            shortestHealthyWatch: Duration = .seconds(1), watchTimeout: Duration = .seconds(300),
            usesStreamingList: Bool = true, labelSelector: String? = nil, fieldSelector: String? = nil
        ) {
            self.pageSize = pageSize
            self.initialBackoff = initialBackoff
            self.maximumBackoff = maximumBackoff
            self.shortestHealthyWatch = shortestHealthyWatch
            self.watchTimeout = watchTimeout
            self.usesStreamingList = usesStreamingList
            self.labelSelector = labelSelector
            self.fieldSelector = fieldSelector
        }
    }

    /// What to do next.
    package enum Action: Hashable, Sendable {
        /// Ask for a page; answer with `listed` or `listFailed`.
        case list(ListOptions)
        /// Open a watch; answer with `received` for each event, then `watchEnded` or `watchFailed`.
        case watch(WatchOptions)
        /// Sleep, then call `waited`.
        case wait(Duration, Reason)
        /// Go on reading the watch that is open.
        case read
    }

    /// Why the reflector pauses.
    package enum Reason: String, Hashable, Sendable {
        case listFailed = "list_failed"
        case watchFailed = "watch_failed"
        case watchTooShort = "watch_too_short"
        case expired = "expired"
        case undecodable = "undecodable"
    }

    /// What to do to the store.
    package enum Update: Sendable {
        /// The whole state; of the objects in `keeping` nothing newer could be read, so what is known of them stays.
        case replace([R], keeping: KeptObjects)
        case set(R)
        case remove(ObjectKey, last: R?)
    }

    /// The answer to an event: first bring the store up to date, then act.
    package struct Step: Sendable {
        package var update: Update?
        package var action: Action
        /// What went wrong, for people, where the action is to wait.
        package var problem: String?
        /// An object that was skipped, to be logged.
        package var undecodable: UndecodableObject?
        /// The streaming list is not for this server; ordinary lists from here on.
        package var gaveUpStreaming: Bool

        package init(
            _ action: Action, update: Update? = nil, problem: String? = nil, undecodable: UndecodableObject? = nil,
            gaveUpStreaming: Bool = false
        ) {
            self.action = action
            self.update = update
            self.problem = problem
            self.undecodable = undecodable
            self.gaveUpStreaming = gaveUpStreaming
        }
    }

    private struct Collected {
        var objects: [ObjectKey: R] = [:]
        var undecodable = KeptObjects.these([])

        /// An object that could not be read.
        mutating func skip(_ report: UndecodableObject) {
            guard case .these(var keys) = undecodable else { return }
            if let key = report.key { keys.insert(key) }
            undecodable = report.key == nil ? .all : .these(keys)
        }

        mutating func remove(_ key: ObjectKey) {
            objects[key] = nil
            guard case .these(var keys) = undecodable else { return }
            keys.remove(key)
            undecodable = .these(keys)
        }
    }

    private enum Next: Hashable {
        case list
        case watch(resourceVersion: String)
    }

    private enum State {
        case idle
        /// `isPaged` is false after a continue token has expired: the whole list is then asked for at once.
        case listing(Collected, isPaged: Bool)
        case streaming(Collected)
        /// `hasProgressed`: this watch has told something new.
        case watching(resourceVersion: String, hasProgressed: Bool)
        case waiting(Next)
    }

    private let settings: Settings
    private var state = State.idle
    private var failures = 0
    /// How often in a row the version to watch from was too old, without anything new in between.
    private var expirations = 0
    private var streams: Bool
    /// Whether a list has been complete once.
    package private(set) var hasSynced = false

    package init(settings: Settings = Settings()) {
        self.settings = settings
        streams = settings.usesStreamingList
    }

    /// The version up to which everything is known; nil before the first list is complete.
    package var resourceVersion: String? {
        switch state {
        case .watching(let version, _), .waiting(.watch(let version)): version
        case .idle, .listing, .streaming, .waiting(.list): nil
        }
    }

    /// Begins.
    package mutating func start(random: Double) -> Step {
        guard case .idle = state else { preconditionFailure("started twice") }
        return begin(.list, random: random)
    }

    /// A page has come.
    package mutating func listed(_ page: ResourceList<R>, random: Double) -> Step {
        guard case .listing(var collected, let isPaged) = state else { preconditionFailure("a page nobody asked for") }
        state = .idle
        for object in page.items { collected.objects[object.key] = object }
        for object in page.undecodable { collected.skip(object) }
        if let token = page.metadata.continue, !token.isEmpty {
            state = .listing(collected, isPaged: isPaged)
            return Step(.list(listOptions(isPaged: isPaged, continueToken: token)))
        }
        guard let version = page.metadata.resourceVersion, !version.isEmpty else {
            // No version means no place to watch from; an API server always sends one.
            return pause(.list, .listFailed, "the list has no resourceVersion", random: random)
        }
        hasSynced = true
        return Step(
            watch(from: version, random: random),
            update: .replace(Array(collected.objects.values), keeping: collected.undecodable))
    }

    /// A page was refused, or could not be had.
    package mutating func listFailed(_ error: KubernetesError, random: Double) -> Step {
        guard case .listing(_, let isPaged) = state else { preconditionFailure("a failure of nothing") }
        if error.kind == .gone, isPaged {
            // The continue token has expired, because the pages took longer than the server keeps history.
            state = .listing(Collected(), isPaged: false)
            return Step(.list(listOptions(isPaged: false)))
        }
        return pause(.list, .listFailed, error.description, atLeast: error.retryAfter, random: random)
    }

    /// The open watch has brought an event.
    package mutating func received(_ event: WatchEvent<R>, random: Double) -> Step {
        switch state {
        case .streaming(let collected):
            // Moved, not copied: there is an event for every object.
            state = .idle
            return receivedWhileStreaming(event, consume collected, random: random)
        case .watching(let version, let hasProgressed):
            return receivedWhileWatching(event, version, hasProgressed, random: random)
        case .idle, .listing, .waiting:
            preconditionFailure("an event of a watch that is not open")
        }
    }

    /// The server has ended the watch, `lived` after it was opened.
    package mutating func watchEnded(lived: Duration, random: Double) -> Step {
        switch state {
        case .streaming:
            // Ended before the list was complete: begin again.
            return pause(.list, .watchTooShort, "the watch ended before the list was complete", random: random)
        case .watching(let version, let hasProgressed):
            if hasProgressed || lived >= settings.shortestHealthyWatch {
                (failures, expirations) = (0, 0)
                return Step(watch(from: version, random: random))
            }
            return pause(
                .watch(resourceVersion: version), .watchTooShort, "the watch ended at once, without news",
                random: random)
        case .idle, .listing, .waiting:
            preconditionFailure("the end of a watch that is not open")
        }
    }

    /// The watch was refused, or broke.
    package mutating func watchFailed(_ error: KubernetesError, random: Double) -> Step {
        let mustList =
            error.kind == .gone || error.kind == .notFound || error.kind == .responseTooLarge
            || error.status?.isResourceVersionTooLarge == true
        switch state {
        case .streaming:
            if [.invalid, .badRequest, .unsupported].contains(error.kind) { return giveUpStreaming() }
            return pause(.list, .watchFailed, error.description, atLeast: error.retryAfter, random: random)
        case .watching(let version, let hasProgressed):
            if error.kind == .gone { return expired(error.description, random: random) }
            // What brought something new was a good watch; one that then broke is resumed at once. The next one has to
            // bring something new as well, or is waited for.
            if hasProgressed, !mustList, error.retryAfter == nil { return Step(watch(from: version, random: random)) }
            return pause(
                mustList ? .list : .watch(resourceVersion: version), .watchFailed, error.description,
                atLeast: error.retryAfter, random: random)
        case .idle, .listing, .waiting:
            preconditionFailure("the failure of a watch that is not open")
        }
    }

    /// Whether a streaming list is under way, which a server that ignores the request for one would never complete.
    package var isStreaming: Bool {
        if case .streaming = state { true } else { false }
    }

    /// The streaming list has fallen silent before it was complete, and the watch has been closed. A server that ignores
    /// the request for one does so, and one that is slow for a moment: this list is had in pages, the next one is asked
    /// for as a stream again.
    package mutating func initialEventsTimedOut() -> Step {
        guard case .streaming = state else { preconditionFailure("no streaming list under way") }
        return listInPages()
    }

    /// The wait is over.
    package mutating func waited(random: Double) -> Step {
        guard case .waiting(let next) = state else { preconditionFailure("nobody waits") }
        return begin(next, random: random)
    }

    // MARK: -

    private mutating func receivedWhileStreaming(
        _ event: WatchEvent<R>, _ collected: consuming Collected, random: Double
    ) -> Step {
        switch event {
        case .added(let object), .modified(let object):
            collected.objects[object.key] = object
        case .deleted(let object):
            collected.remove(object.key)
        case .bookmark(let version, initialEventsEnd: true):
            state = .watching(resourceVersion: version, hasProgressed: false)
            hasSynced = true
            return Step(
                .read, update: .replace(Array(collected.objects.values), keeping: collected.undecodable))
        case .bookmark:
            // An ordinary bookmark before the end of the list: this server has no streaming lists.
            return giveUpStreaming()
        case .error(let status):
            let error = KubernetesError(
                kind: status.isExpired ? .gone : .server, verb: .watch, path: "", status: status,
                message: status.message ?? "")
            return pause(.list, .watchFailed, Self.problem(status), atLeast: error.retryAfter, random: random)
        case .undecodable("DELETED", let report):
            if let key = report.key { collected.remove(key) }
            state = .streaming(collected)
            return Step(.read, undecodable: report)
        case .undecodable(_, let report):
            collected.skip(report)
            state = .streaming(collected)
            return Step(.read, undecodable: report)
        }
        state = .streaming(collected)
        return Step(.read)
    }

    private mutating func receivedWhileWatching(
        _ event: WatchEvent<R>, _ version: String, _ hasProgressed: Bool, random: Double
    ) -> Step {
        switch event {
        case .added(let object), .modified(let object):
            progress(to: object.metadata.resourceVersion, from: version)
            return Step(.read, update: .set(object))
        case .deleted(let object):
            progress(to: object.metadata.resourceVersion, from: version)
            return Step(.read, update: .remove(object.key, last: object))
        case .bookmark(let newer, _):
            if newer != version { progress(to: newer, from: version) }
            return Step(.read)
        case .error(let status):
            if status.isExpired || status.isResourceVersionTooLarge {
                return expired(Self.problem(status), random: random)
            }
            let wait = status.details?.retryAfterSeconds.map { Duration.seconds($0) }
            if hasProgressed { failures = 0 }
            return pause(
                .watch(resourceVersion: version), .watchFailed, Self.problem(status), atLeast: wait, random: random)
        case .undecodable(let type, let report):
            guard let newer = report.resourceVersion, let key = report.key else {
                // Whatever this line was, it cannot be told which object it leaves us wrong about.
                var step = pause(.list, .undecodable, "\(report.problem)", random: random)
                step.undecodable = report
                return step
            }
            progress(to: newer, from: version)
            // Gone is gone, whatever it looked like; otherwise the last good state stays.
            return Step(.read, update: type == "DELETED" ? .remove(key, last: nil) : nil, undecodable: report)
        }
    }

    private mutating func progress(to newer: String?, from version: String) {
        (failures, expirations) = (0, 0)
        state = .watching(resourceVersion: newer ?? version, hasProgressed: true)
    }

    /// The first time at once, then with growing waits: a server that compacts faster than it lists must not be hit
    /// with list after list.
    private mutating func expired(_ problem: String, random: Double) -> Step {
        // The server has answered: that it was away before has nothing to do with what it remembers.
        failures = expirations
        expirations += 1
        guard expirations > 1 else { return begin(.list, random: random) }
        return pause(.list, .expired, problem, random: random)
    }

    /// What the server says about the end of a watch.
    private static func problem(_ status: KubernetesStatus) -> String {
        "the server ended the watch: \(status.code ?? 0) \(status.reason ?? ""): \(status.message ?? "")"
    }

    private mutating func giveUpStreaming() -> Step {
        streams = false
        var step = listInPages()
        step.gaveUpStreaming = true
        return step
    }

    private mutating func listInPages() -> Step {
        state = .listing(Collected(), isPaged: true)
        return Step(.list(listOptions(isPaged: true)))
    }

    private mutating func begin(_ next: Next, random: Double) -> Step {
        switch next {
        case .watch(let version):
            return Step(watch(from: version, random: random))
        case .list where streams:
            state = .streaming(Collected())
            return Step(.watch(watchOptions(from: nil, random: random)))
        case .list:
            state = .listing(Collected(), isPaged: true)
            return Step(.list(listOptions(isPaged: true)))
        }
    }

    private mutating func watch(from version: String, random: Double) -> Action {
        state = .watching(resourceVersion: version, hasProgressed: false)
        return .watch(watchOptions(from: version, random: random))
    }

    private mutating func pause(
        _ next: Next, _ reason: Reason, _ problem: String, atLeast minimum: Duration? = nil, random: Double
    ) -> Step {
        var delay = settings.initialBackoff
        for _ in 0..<min(failures, 32) where delay < settings.maximumBackoff { delay *= 2 }
        delay = min(delay, settings.maximumBackoff)
        failures += 1
        state = .waiting(next)
        // Half fixed, half random: reflectors that failed together do not come back together.
        return Step(.wait(max(delay / 2 + delay / 2 * random, minimum ?? .zero), reason), problem: problem)
    }

    private func listOptions(isPaged: Bool, continueToken: String? = nil) -> ListOptions {
        ListOptions(
            limit: isPaged ? settings.pageSize : nil, continueToken: continueToken,
            labelSelector: settings.labelSelector, fieldSelector: settings.fieldSelector)
    }

    private func watchOptions(from version: String?, random: Double) -> WatchOptions {
        WatchOptions(
            resourceVersion: version, timeoutSeconds: Int(settings.watchTimeout / .seconds(1) * (1 + random)),
            sendInitialEvents: version == nil, labelSelector: settings.labelSelector,
            fieldSelector: settings.fieldSelector)
    }
}
