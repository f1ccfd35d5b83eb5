package import Foundation
package import KubernetesAPI

/// Turns occurrences into as few Event objects as tell the story; pure.
///
/// The first occurrence is an Event of its own. Repetitions of it become a series on that Event, brought up to date at
/// once for the first repetition and then at most every `seriesInterval`. What an object has to say beyond its rate is
/// dropped and counted.
package struct EventCorrelator: Sendable {
    /// Rates and sizes.
    package struct Settings: Sendable {
        /// New Events about one object: a second, and at once after a pause.
        package var rate: Double
        package var burst: Int
        /// A series on the server is brought up to date at most so often.
        package var seriesInterval: Duration
        /// Without a repetition for this long, the next occurrence is a new Event.
        package var seriesLifetime: Duration
        /// Events and objects remembered.
        package var capacity: Int

        /// client-go's: 25 at once, then one in five minutes; series end after six minutes.
        package init(
            rate: Double = 1.0 / 300, burst: Int = 25, seriesInterval: Duration = .seconds(60),
            seriesLifetime: Duration = .seconds(360), capacity: Int = 4096
        ) {
            self.rate = rate
            self.burst = burst
            self.seriesInterval = seriesInterval
            self.seriesLifetime = seriesLifetime
            self.capacity = max(1, capacity)
        }
    }

    /// Something that happened.
    package struct Occurrence: Hashable, Sendable {
        package var regarding: ObjectReference
        package var related: ObjectReference?
        package var type: EventType
        package var reason: String
        package var action: String
        package var note: String

        package init(
            regarding: ObjectReference, related: ObjectReference? = nil, type: EventType, reason: String,
            action: String, note: String
        ) {
            self.regarding = regarding
            self.related = related
            self.type = type
            self.reason = reason
            self.action = action
            self.note = note
        }
    }

    /// What to tell the server.
    package enum Action: Hashable, Sendable {
        case create(Occurrence, name: String)
        /// What the Event `name` tells of has now been seen `count` times.
        case update(Occurrence, name: String, count: Int, lastObserved: Date)
        /// A repetition that will be told with the next update.
        case hold
        /// Beyond the object's rate.
        case drop
    }

    private struct Series {
        var name: String
        var count = 1
        /// Occurrences the server knows of.
        var told = 1
        var lastSeen: Duration
        var lastSeenDate: Date
        var lastTold: Duration?
    }

    private struct Budget {
        var bucket: TokenBucket
        var lastUsed: Duration
    }

    private let settings: Settings
    private var series: [Occurrence: Series] = [:]
    /// Those with repetitions that the server does not know of: few of many, and asked for with every occurrence.
    private var held: Set<Occurrence> = []
    private var budgets: [ObjectReference: Budget] = [:]

    package init(settings: Settings = Settings()) { self.settings = settings }

    /// An occurrence; `now` is the time since any fixed instant, `date` the same moment on the wall clock, `name` that
    /// of a new Event if one is made.
    package mutating func record(
        _ occurrence: Occurrence, name: @autoclosure () -> String, now: Duration, date: Date
    ) -> Action {
        if var known = series[occurrence], now - known.lastSeen <= settings.seriesLifetime {
            known.count += 1
            known.lastSeen = now
            known.lastSeenDate = date
            defer { series[occurrence] = known }
            if let told = known.lastTold, now - told < settings.seriesInterval {
                held.insert(occurrence)
                return .hold
            }
            held.remove(occurrence)
            known.lastTold = now
            known.told = known.count
            return .update(occurrence, name: known.name, count: known.count, lastObserved: date)
        }
        var budget =
            budgets[occurrence.regarding]
            ?? Budget(bucket: TokenBucket(rate: settings.rate, burst: settings.burst), lastUsed: now)
        budget.lastUsed = now
        let isAllowed = budget.bucket.take(now: now)
        budgets[occurrence.regarding] = budget
        makeRoom()
        guard isAllowed else { return .drop }
        let name = name()
        held.remove(occurrence)
        series[occurrence] = Series(name: name, lastSeen: now, lastSeenDate: date)
        return .create(occurrence, name: name)
    }

    /// Events and objects remembered; never more than twice the capacity, and one.
    var remembered: Int { series.count + budgets.count }

    /// When `due` has something to say; nil if nothing is held.
    package var nextDue: Duration? {
        held.lazy.compactMap { series[$0]?.lastTold.map { $0 + settings.seriesInterval } }.min()
    }

    /// The series whose held repetitions are to be told now.
    package mutating func due(now: Duration) -> [Action] {
        var actions: [Action] = []
        for occurrence in held {
            guard var known = series[occurrence], let told = known.lastTold, now - told >= settings.seriesInterval
            else { continue }
            held.remove(occurrence)
            known.told = known.count
            known.lastTold = now
            series[occurrence] = known
            actions.append(
                .update(occurrence, name: known.name, count: known.count, lastObserved: known.lastSeenDate))
        }
        return actions
    }

    /// The Event made for `occurrence` is not on the server (any more): its next occurrence makes a new one.
    package mutating func lost(_ occurrence: Occurrence) { forget(occurrence) }

    private mutating func forget(_ occurrence: Occurrence) {
        series[occurrence] = nil
        held.remove(occurrence)
    }

    private mutating func makeRoom() {
        if series.count >= settings.capacity {
            let oldest = series.sorted { $0.value.lastSeen < $1.value.lastSeen }.prefix(settings.capacity / 4 + 1)
            for (occurrence, _) in oldest { forget(occurrence) }
        }
        if budgets.count > settings.capacity {
            let oldest = budgets.sorted { $0.value.lastUsed < $1.value.lastUsed }.prefix(settings.capacity / 4 + 1)
            for (object, _) in oldest { budgets[object] = nil }
        }
    }
}

/// Whether an Event is good or bad news.
package enum EventType: String, Hashable, Sendable {
    case normal = "Normal"
    case warning = "Warning"
}
