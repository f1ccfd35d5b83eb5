import DequeModule

import struct Foundation.Date

/// The Events that wait for delivery, in order; pure.
///
/// Where there is no room left, good news make way for bad: the oldest `Normal` goes for a `Warning`, and what comes last
/// finds no room otherwise.
struct EventBacklog {
    /// What waits, and when it happened.
    struct Entry: Hashable {
        var action: EventCorrelator.Action
        var date: Date
    }

    private let capacity: Int
    private var entries = Deque<Entry>()
    /// Of `entries`, those that make way.
    private var normal = 0

    /// At most `capacity` Events wait.
    init(capacity: Int) { self.capacity = max(1, capacity) }

    /// Whether there is room for an Event of this type, if need be in place of another.
    func hasRoom(for type: EventType) -> Bool { entries.count < capacity || type == .warning && normal > 0 }

    /// Puts an Event at the end, for which there is room.
    ///
    /// - Returns: the one that made way for it, if any.
    mutating func append(_ entry: Entry) -> Entry? {
        var evicted: Entry?
        if entries.count >= capacity, let index = entries.firstIndex(where: { $0.action.type == .normal }) {
            evicted = entries.remove(at: index)
            normal -= 1
        }
        entries.append(entry)
        if entry.action.type == .normal { normal += 1 }
        return evicted
    }

    /// The next one to deliver.
    mutating func popFirst() -> Entry? {
        let first = entries.popFirst()
        if first?.action.type == .normal { normal -= 1 }
        return first
    }
}

extension EventCorrelator.Action {
    /// What it is about; nil where there is nothing to tell.
    var occurrence: EventCorrelator.Occurrence? {
        switch self {
        case .create(let occurrence, _), .update(let occurrence, _, _, _): occurrence
        case .hold, .drop: nil
        }
    }

    var type: EventType? { occurrence?.type }
}
