/// The addresses and node ports that Services have, kept up to date from the store's history.
///
/// Without it each new Service would cost a look at all the others.
struct ServiceClaims: Sendable {
    private static let storage = "services"
    /// How many Services have each: the history may show the next owner before the former one is gone.
    private var addresses: [String: Int] = [:]
    private var nodePorts: [Int64: Int] = [:]
    /// The newest change that is accounted for; nil before the first look.
    private var revision: Int64?

    func hold(address: String) -> Bool { addresses[address] != nil }
    func hold(nodePort: Int64) -> Bool { nodePorts[nodePort] != nil }

    /// Takes in what has happened since the last time.
    mutating func follow(_ store: ObjectStore) {
        defer { revision = store.revision }
        guard let revision, let changes = try? store.changes(after: revision) else {
            self = ServiceClaims()
            for service in store.objects(Self.storage) { add(service.value) }
            return
        }
        for change in changes where change.storage == Self.storage {
            if let old = change.old { remove(old.value) }
            if let new = change.new { add(new.value) }
        }
    }

    /// Leaves one Service out.
    mutating func remove(_ service: JSONValue) { count(service, by: -1) }

    private mutating func add(_ service: JSONValue) { count(service, by: 1) }

    private mutating func count(_ service: JSONValue, by step: Int) {
        let address = service.text("spec", "clusterIP")
        if !address.isEmpty, address != "None" { Self.count(&addresses, address, by: step) }
        for port in service.list("spec", "ports").compactMap({ $0.integer("nodePort") }) {
            Self.count(&nodePorts, port, by: step)
        }
    }

    private static func count<Key>(_ counts: inout [Key: Int], _ key: Key, by step: Int) {
        let sum = counts[key, default: 0] + step
        counts[key] = sum > 0 ? sum : nil
    }
}
