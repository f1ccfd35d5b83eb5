/// What is remembered of clusters that have no tunnel any more: of at least the last `least` of them and at most twice as
/// many, however many come and go. Two generations, so that forgetting takes no search.
struct RecentlyGone<Value> {
    private let least: Int
    private var recent: [String: Value] = [:]
    private var older: [String: Value] = [:]

    init(least: Int) { self.least = max(1, least) }

    var count: Int { recent.count + older.count }

    subscript(cluster: String) -> Value? { recent[cluster] ?? older[cluster] }

    mutating func remember(_ value: Value, of cluster: String) {
        older[cluster] = nil
        recent[cluster] = value
        guard recent.count >= least else { return }
        older = recent
        recent = [:]
    }

    /// Forgets the cluster, which is back.
    @discardableResult
    mutating func take(_ cluster: String) -> Value? {
        recent.removeValue(forKey: cluster) ?? older.removeValue(forKey: cluster)
    }
}
