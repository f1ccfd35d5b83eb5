import Metrics

/// client-go's reflector metrics; `name` is the plural of the resource.
final class ReflectorMetrics: Sendable {
    private let lists: Counter
    private let listDuration: Timer
    private let listItems: Recorder
    private let watches: Counter
    private let shortWatches: Counter
    private let watchDuration: Timer
    private let undecodables: Counter

    init(name: String) {
        let dimensions = [("name", name)]
        lists = Counter(label: "reflector_lists_total", dimensions: dimensions)
        listDuration = Timer(label: "reflector_list_duration_seconds", dimensions: dimensions)
        listItems = Recorder(label: "reflector_items_per_list", dimensions: dimensions)
        watches = Counter(label: "reflector_watches_total", dimensions: dimensions)
        shortWatches = Counter(label: "reflector_short_watches_total", dimensions: dimensions)
        watchDuration = Timer(label: "reflector_watch_duration_seconds", dimensions: dimensions)
        undecodables = Counter(label: "reflector_undecodable_objects_total", dimensions: dimensions)
    }

    func listed(items: Int, duration: Duration) {
        lists.increment()
        listItems.record(items)
        listDuration.record(duration: duration)
    }

    func watchOpened() { watches.increment() }

    func watchClosed(lived: Duration, isShort: Bool) {
        if isShort { shortWatches.increment() }
        watchDuration.record(duration: lived)
    }

    func undecodable() { undecodables.increment() }
}
