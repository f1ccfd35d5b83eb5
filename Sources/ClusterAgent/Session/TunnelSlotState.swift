import NIOCore
import TunnelProtocol

/// One place of the pool: when it dials, which address, and which of its tunnels it keeps.
///
/// ```
/// connecting ──established──► serving, sharing ──ended──► connecting
///     ▲                              │ draining, or there is another gateway than the shared one
///     └──────────ended────────── replacing ──established──► serving, sharing
/// ```
/// A replacement is up before what it replaces is let go. One dial is due or under way at a time, and none while
/// serving or sharing. What it hears of a tunnel that it has replaced changes nothing: it may end whenever it is done.
struct TunnelSlotState {
    enum Action: Hashable {
        /// Look the gateway's addresses up after this wait, and report `resolved` or `failed`.
        case resolve(after: TimeAmount)
        /// Look the addresses up after this wait, and report `lookedAround`: the tunnel shares its gateway, and another
        /// one may have come up.
        case lookAround(attempt: Int, after: TimeAmount)
        /// Dial, and report `established` or `failed`. Without an address: whatever the name leads to.
        case dial(attempt: Int, address: String?)
        /// Let a tunnel finish what is open on it and end.
        case retire(attempt: Int)
    }

    private enum Need: Hashable {
        /// The gateway lets the tunnel end.
        case draining
        /// Another slot has a tunnel to the same gateway.
        case sameInstance
    }

    private enum State: Hashable {
        case connecting
        case serving(Int)
        /// As serving, but another slot has a tunnel to the same gateway, and no other gateway was to be had.
        case sharing(Int)
        case replacing(Int, Need)
    }

    struct Times: Hashable {
        /// How far the first dials of an agent's slots are apart.
        var start = TimeAmount.milliseconds(300)
        /// Within which the replacement of a drained tunnel is dialled.
        var drain = TimeAmount.seconds(1)
        /// Between two looks for another gateway than a shared one, give or take a half.
        var lookAround = TimeAmount.seconds(60)
    }

    private let times: Times
    private var state = State.connecting
    private var backoff: Backoff
    private var lastAttempt = 0
    /// Dialled since the slot last served, so that the next dial goes elsewhere.
    private var tried: Set<String> = []
    private var hasUntried = false
    /// Only a proxy knows the addresses.
    private var isBlind = false
    /// Told to drain before they were established: a goodbye may overtake the welcome.
    private var drained: Set<Int> = []

    init(backoff: Backoff.Limits, times: Times = Times()) {
        self.backoff = Backoff(limits: backoff)
        self.times = times
    }

    /// - Parameters:
    ///   - slot: counted from 0; the first one starts at once.
    ///   - random: here and below uniform in 0..<1.
    func start(slot: Int, random: Double) -> [Action] {
        let step = Double(times.start.nanoseconds)
        return [.resolve(after: slot == 0 ? .zero : .nanoseconds(Int64(step * (Double(slot) + random / 2))))]
    }

    /// - Parameters:
    ///   - addresses: empty where only a proxy can resolve the name.
    ///   - occupancy: what the other slots have.
    mutating func resolved(_ addresses: [String], _ occupancy: GatewayOccupancy, random: Double) -> [Action] {
        var untried = addresses.filter { !tried.contains($0) }
        if untried.isEmpty {
            // Whoever else there was is gone from the name's addresses.
            if case .replacing(let attempt, .sameInstance) = state { return share(attempt, random) }
            tried = []
            untried = addresses
        }
        let address = occupancy.best(of: untried, random: random)
        if let address { tried.insert(address) }
        hasUntried = untried.count > 1
        isBlind = addresses.isEmpty
        lastAttempt += 1
        return [.dial(attempt: lastAttempt, address: address)]
    }

    /// What the name leads to while a tunnel shares its gateway. A gateway that nobody uses is given one try.
    mutating func lookedAround(
        _ attempt: Int, _ addresses: [String], _ occupancy: GatewayOccupancy, random: Double
    ) -> [Action] {
        guard case .sharing(attempt) = state else { return [] }
        guard let address = occupancy.best(of: addresses.filter(occupancy.isFree), random: random) else {
            return share(attempt, random)
        }
        state = .replacing(attempt, .sameInstance)
        hasUntried = false
        lastAttempt += 1
        return [.dial(attempt: lastAttempt, address: address)]
    }

    /// No tunnel came of the dial, or the addresses could not be looked up.
    mutating func failed(_ cause: Backoff.Cause, random: Double) -> [Action] {
        if case .replacing(let attempt, .sameInstance) = state {
            // The tunnel there is does its work; nothing has to be waited out.
            return hasUntried ? [.resolve(after: .zero)] : share(attempt, random)
        }
        return [.resolve(after: backoff.delay(after: cause, random: random))]
    }

    /// The gateway welcomed the tunnel that was dialled last.
    ///
    /// - Parameter isSameInstance: whether another slot has a tunnel to this gateway.
    mutating func established(_ attempt: Int, isSameInstance: Bool, random: Double) -> [Action] {
        var actions: [Action] = []
        // One that drains ends by itself, or with its gateway.
        if case .replacing(let older, .sameInstance) = state { actions.append(.retire(attempt: older)) }
        if drained.remove(attempt) != nil {
            state = .replacing(attempt, .draining)
            tried = []
            return actions + [.resolve(after: drainWait(random))]
        }
        if isSameInstance, hasUntried {
            state = .replacing(attempt, .sameInstance)
            return actions + [.resolve(after: .zero)]
        }
        if isSameInstance, !isBlind { return actions + share(attempt, random) }
        state = .serving(attempt)
        tried = []
        return actions
    }

    /// The gateway asked for a replacement of a tunnel.
    ///
    /// - Parameter lifetime: since the welcome; `nil` before it.
    mutating func draining(_ attempt: Int, lifetime: TimeAmount?, random: Double) -> [Action] {
        if let lifetime { backoff.lived(lifetime) }
        switch state {
        case .serving(attempt), .sharing(attempt):
            state = .replacing(attempt, .draining)
            return [.resolve(after: drainWait(random))]
        case .replacing(attempt, .sameInstance):
            state = .replacing(attempt, .draining)
        case .replacing(attempt, .draining):
            // The second step of the drain.
            break
        case .connecting, .serving, .sharing, .replacing:
            if attempt == lastAttempt { drained.insert(attempt) }
        }
        return []
    }

    /// A tunnel that had been established ended.
    mutating func ended(_ attempt: Int, _ cause: Backoff.Cause, random: Double) -> [Action] {
        switch state {
        case .serving(attempt), .sharing(attempt):
            state = .connecting
            return [.resolve(after: backoff.delay(after: cause, random: random))]
        case .replacing(attempt, _):
            // Its replacement is on its way.
            state = .connecting
        case .connecting, .serving, .sharing, .replacing:
            break
        }
        return []
    }

    /// Whether a tunnel is the one that the slot relies on.
    func isCurrent(_ attempt: Int) -> Bool {
        switch state {
        case .serving(attempt), .sharing(attempt), .replacing(attempt, _): true
        case .connecting, .serving, .sharing, .replacing: false
        }
    }

    private mutating func share(_ attempt: Int, _ random: Double) -> [Action] {
        state = .sharing(attempt)
        tried = []
        let wait = Double(times.lookAround.nanoseconds) * (0.5 + random)
        return [.lookAround(attempt: attempt, after: .nanoseconds(Int64(wait)))]
    }

    /// So that the agents of a gateway that ends do not all come to the next one in the same moment.
    private func drainWait(_ random: Double) -> TimeAmount {
        .nanoseconds(Int64(Double(times.drain.nanoseconds) * random))
    }
}
