/// A tunnel of this process.
struct TunnelID: Hashable, Sendable {
    var slot: Int
    /// Counts the dials of the slot.
    var attempt: Int
}

/// What a tunnel says on its control channel.
enum TunnelRole: Hashable, Sendable {
    /// Publishes the routes to the gateway's registry.
    case publisher
    /// Says that the cluster is alive, and nothing about routes.
    case standby
}

/// The tunnels of all slots: where they lead, and which of them publish.
///
/// Of the tunnels that lead to one registry the oldest one that does not drain publishes; when it ends or drains, the
/// next one takes over. Where all of them drain the publisher stays, until a replacement is up.
struct TunnelPoolState {
    private struct Member {
        var id: TunnelID
        var address: String?
        /// What the welcome said; `nil` before it.
        var gateway: Gateway?
        var isDraining = false
    }

    private struct Gateway {
        var instance: String
        var registry: String
    }

    /// In the order in which they were established, those that are being dialled last.
    private var members: [Member] = []
    private var publishers: [String: TunnelID] = [:]
    /// The instance that each address led to last.
    private var instances: [String: String] = [:]
    /// Addresses at which the last dial failed.
    private var failing: Set<String> = []

    mutating func dialling(_ id: TunnelID, _ address: String?) {
        members.append(Member(id: id, address: address))
    }

    /// - Returns: the roles that change with it; its own is always among them.
    mutating func established(_ id: TunnelID, instance: String, registry: String) -> [TunnelID: TunnelRole] {
        guard let index = members.firstIndex(where: { $0.id == id }) else { return [:] }
        var member = members.remove(at: index)
        member.gateway = Gateway(instance: instance, registry: registry)
        if let address = member.address {
            instances[address] = instance
            failing.remove(address)
        }
        let place = members.firstIndex { $0.gateway == nil } ?? members.endIndex
        members.insert(member, at: place)
        return [id: .standby].merging(assign()) { $1 }
    }

    /// No tunnel came of a dial.
    mutating func failed(_ id: TunnelID) {
        guard let index = members.firstIndex(where: { $0.id == id }) else { return }
        if let address = members.remove(at: index).address { failing.insert(address) }
    }

    /// The gateway, or the slot, lets a tunnel end.
    mutating func draining(_ id: TunnelID) -> [TunnelID: TunnelRole] {
        guard let index = members.firstIndex(where: { $0.id == id }) else { return [:] }
        members[index].isDraining = true
        return assign()
    }

    mutating func ended(_ id: TunnelID) -> [TunnelID: TunnelRole] {
        members.removeAll { $0.id == id }
        return assign()
    }

    /// What a slot must know of the others before it dials.
    func occupancy(for slot: Int) -> GatewayOccupancy {
        let others = members.filter { $0.id.slot != slot && !$0.isDraining }
        return GatewayOccupancy(
            addresses: Set(others.compactMap(\.address)), instances: Set(others.compactMap(\.gateway?.instance)),
            draining: Set(members.filter(\.isDraining).compactMap(\.address)), failing: failing,
            instanceByAddress: instances)
    }

    /// Whether a slot other than this tunnel's has a tunnel to the same gateway.
    func isSameInstance(_ id: TunnelID) -> Bool {
        guard let instance = members.first(where: { $0.id == id })?.gateway?.instance else { return false }
        return members.contains { $0.id.slot != id.slot && !$0.isDraining && $0.gateway?.instance == instance }
    }

    private mutating func assign() -> [TunnelID: TunnelRole] {
        var assigned: [String: TunnelID] = [:]
        for member in members where !member.isDraining {
            guard let registry = member.gateway?.registry, assigned[registry] == nil else { continue }
            assigned[registry] = member.id
        }
        for member in members {
            guard let registry = member.gateway?.registry, assigned[registry] == nil else { continue }
            // All of them drain: as it was, if that one is still there.
            let present = publishers[registry].flatMap { id in members.contains { $0.id == id } ? id : nil }
            assigned[registry] = present ?? member.id
        }
        var changes: [TunnelID: TunnelRole] = [:]
        let present = Set(members.map(\.id))
        for (registry, id) in publishers where assigned[registry] != id && present.contains(id) {
            changes[id] = .standby
        }
        for (registry, id) in assigned where publishers[registry] != id { changes[id] = .publisher }
        publishers = assigned
        return changes
    }
}

/// Where the tunnels of other slots lead, and what is known of the gateway's addresses.
struct GatewayOccupancy: Hashable {
    /// Addresses and instances to which other slots have, or are dialling, tunnels.
    var addresses: Set<String> = []
    var instances: Set<String> = []
    /// Addresses of gateways that let a tunnel of this agent end.
    var draining: Set<String> = []
    /// Addresses at which the last dial failed.
    var failing: Set<String> = []
    /// The instance that each address led to last.
    var instanceByAddress: [String: String] = [:]

    /// The address to dial: one that no other slot uses, then one whose instance no other slot has; those of gateways
    /// that are ending or could not be reached only where there is nothing else. Among equals chance decides.
    func best(of addresses: [String], random: Double) -> String? {
        guard let rank = addresses.map(rank).min() else { return nil }
        let equals = addresses.filter { self.rank($0) == rank }
        return equals[min(Int(random * Double(equals.count)), equals.count - 1)]
    }

    /// Whether an address may lead to a gateway that no other slot has.
    func isFree(_ address: String) -> Bool {
        guard !addresses.contains(address), !draining.contains(address) else { return false }
        return instanceByAddress[address].map { !instances.contains($0) } ?? true
    }

    private func rank(_ address: String) -> Int {
        var rank = 0
        if draining.contains(address) { rank += 8 }
        if failing.contains(address) { rank += 4 }
        if addresses.contains(address) { rank += 2 }
        if let instance = instanceByAddress[address], instances.contains(instance) { rank += 1 }
        return rank
    }
}
