import NIOCore
import NIOHTTP1
import TunnelProtocol

/// Two multiplexers wired back to back, with users of streams that act at random.
///
/// Everything that could go wrong on the way is checked as it happens and collected in `failures`.
struct TunnelModel {
    /// One direction of one exchange.
    struct Flow {
        /// Where its bytes lie in the pattern.
        var offset: Int
        var length: Int
        var endsWithTrailers: Bool
        var sent = 0
        var received = 0
        var consumed = 0
        var isHeldBack = false
        var hasEndedSending = false
        var hasEnded = false
        /// Credit given, and spent, as seen on the wire.
        var granted = 0
        var onWire = 0

        var isDone: Bool { hasEnded && consumed == received }
    }

    struct Exchange {
        var request: Flow
        var response: Flow
        var hasResponded = false
        var isKnownToAgent = false
        /// Reset by either side, or refused.
        var isReset = false

        /// Both bodies have arrived whole and are written onward.
        var isDone: Bool { isReset || request.isDone && response.isDone }
    }

    enum Side: CaseIterable {
        case gateway
        case agent
    }

    static let pattern: ByteBuffer = {
        var random = SeededGenerator(seed: 99)
        var buffer = ByteBuffer()
        for _ in 0..<64 * 1024 { buffer.writeInteger(random.next()) }
        return buffer
    }()

    /// The most steps that a run may take.
    private static let mostSteps = 20_000

    var random: Choices
    /// What each end may promise at once.
    let budget: Int
    var gateway: Multiplexer
    var agent: Multiplexer
    var toAgent: [ByteBuffer] = []
    var toGateway: [ByteBuffer] = []
    var exchanges: [StreamID: Exchange] = [:]
    var toOpen: Int
    var failures: [String] = []
    /// What a run came across, so that a schedule that exercises nothing is noticed.
    var seen: Set<Occurrence> = []

    enum Occurrence: CaseIterable {
        case heldBack, resumed, creditReturned, creditUsedUp, reset, refused, notOpened, trailers, longBody,
            answeredEarly
    }

    init(_ choices: Choices) {
        random = choices
        var limits = FlowLimits()
        limits.openingWindow = [32, 64, 100].randomElement(using: &random).map { $0 * 1024 } ?? 0
        limits.largestWindow = 256 * 1024
        limits.budget = [256, 400, 4096].randomElement(using: &random).map { $0 * 1024 } ?? 0
        limits.sendQueueHigh = 24 * 1024
        limits.sendQueueLow = 8 * 1024
        budget = limits.budget
        gateway = Multiplexer(role: .gateway, maxStreams: 8, limits: limits)
        agent = Multiplexer(role: .agent, maxStreams: Int.random(in: 4...8, using: &random), limits: limits)
        toOpen = Int.random(in: 3...10, using: &random)
    }

    var isDone: Bool {
        toOpen == 0 && exchanges.values.allSatisfy(\.isDone) && toAgent.isEmpty && toGateway.isEmpty
            && !gateway.hasOutput && !agent.hasOutput
    }

    /// Takes steps until everything has arrived or something is wrong, and returns what that is.
    mutating func run() -> [String] {
        var steps = 0
        while !isDone, failures.isEmpty, steps < Self.mostSteps {
            step()
            steps += 1
        }
        if steps == Self.mostSteps { failures.append("no progress: \(gateway.snapshot); \(agent.snapshot)") }
        guard failures.isEmpty else { return failures }
        exchangeAll()
        for (side, mux) in [("gateway", gateway), ("agent", agent)]
        where mux.snapshot != "0 streams, 0 reserved, 0 queued" {
            failures.append("left behind at the \(side): \(mux.snapshot)")
        }
        for (id, exchange) in exchanges where !exchange.isReset {
            if !exchange.request.hasEnded || !exchange.response.hasEnded { failures.append("\(id) has not ended") }
        }
        return failures
    }

    mutating func step() {
        let choice = Int.random(in: 0..<100, using: &random)
        switch choice {
        case 0..<8: open()
        case 8..<18: write(.gateway)
        case 18..<28: write(.agent)
        case 28..<38: deliver(to: .agent)
        case 38..<48: deliver(to: .gateway)
        case 48..<98: actOnAStream()
        case 98: if Bool.random(using: &random) { reset() }
        default: exchangeAll()
        }
    }

    // MARK: Users

    private mutating func flow() -> Flow {
        let length = [0, 10, 5_000, 40_000, 130_000].randomElement(using: &random) ?? 0
        return Flow(
            offset: Int.random(in: 0...300_000, using: &random), length: length,
            endsWithTrailers: Bool.random(using: &random))
    }

    private mutating func open() {
        guard toOpen > 0 else { return }
        var exchange = Exchange(request: flow(), response: flow())
        let isEmpty = exchange.request.length == 0 && !exchange.request.endsWithTrailers
        guard case .opened(let id) = gateway.open(Heads.post, endStream: isEmpty) else {
            seen.insert(.notOpened)
            return
        }
        toOpen -= 1
        exchange.request.hasEndedSending = isEmpty
        exchange.request.granted = FrameLimits.initialRequestCredit
        exchanges[id] = exchange
    }

    private mutating func actOnAStream() {
        let candidates = exchanges.filter { !$0.value.isDone }.keys.sorted()
        guard let id = candidates.randomElement(using: &random), var exchange = exchanges[id] else { return }
        switch Int.random(in: 0..<4, using: &random) {
        case 0: send(&exchange.request, id, from: .gateway)
        case 1 where exchange.isKnownToAgent && !exchange.hasResponded:
            exchange.hasResponded = true
            if Bool.random(using: &random) { agent.respond(id, Heads.earlyHints, endStream: false) }
            let isEmpty = exchange.response.length == 0 && !exchange.response.endsWithTrailers
            agent.respond(id, Heads.ok, endStream: isEmpty)
            exchange.response.hasEndedSending = isEmpty
        case 1 where exchange.hasResponded: send(&exchange.response, id, from: .agent)
        case 2: consume(&exchange.request, id, at: .agent)
        case 3: consume(&exchange.response, id, at: .gateway)
        default: break
        }
        exchanges[id] = exchange
    }

    private mutating func send(_ flow: inout Flow, _ id: StreamID, from side: Side) {
        guard !flow.isHeldBack, !flow.hasEndedSending else { return }
        let size = min(flow.length - flow.sent, Int.random(in: 0...60_000, using: &random))
        let bytes = Self.pattern.getSlice(at: flow.offset + flow.sent, length: size) ?? ByteBuffer()
        flow.sent += size
        let isLast = flow.sent == flow.length
        flow.hasEndedSending = isLast
        let mayGoOn = with(side) { mux in
            let mayGoOn = mux.send(id, bytes, endStream: isLast && !flow.endsWithTrailers)
            if isLast, flow.endsWithTrailers { mux.send(id, trailers: ["t": "\(id)"]) }
            return mayGoOn
        }
        flow.isHeldBack = !mayGoOn
        if !mayGoOn { seen.insert(.heldBack) }
    }

    private mutating func consume(_ flow: inout Flow, _ id: StreamID, at side: Side) {
        let held = flow.received - flow.consumed
        guard held > 0 else { return }
        let size = Int.random(in: 1...held, using: &random)
        flow.consumed += size
        with(side) { $0.consumed(id, size) }
    }

    private mutating func reset() {
        let candidates = exchanges.filter { !$0.value.isDone }.keys.sorted()
        guard let id = candidates.randomElement(using: &random), let side = Side.allCases.randomElement(using: &random)
        else { return }
        guard side == .gateway || exchanges[id]?.isKnownToAgent == true else { return }
        // A side that is through with the stream has nothing to reset, and its peer hears nothing.
        guard with(side, { $0.isOpen(id) }) else { return }
        with(side) { $0.reset(id, .cancelled) }
        exchanges[id]?.isReset = true
    }

    // MARK: The wire

    /// Lets everything flow, so that a run ends.
    mutating func exchangeAll() {
        for _ in 0..<4 {
            for side in Side.allCases { write(side) }
            while !toAgent.isEmpty { deliver(to: .agent) }
            while !toGateway.isEmpty { deliver(to: .gateway) }
        }
    }

    private mutating func write(_ side: Side) {
        let limit = [1, 2_000, 65_536].randomElement(using: &random) ?? 1
        var message = ByteBuffer()
        let written = with(side) { $0.write(into: &message, limit: limit) }
        if !written.released.isEmpty { seen.insert(.resumed) }
        for id in written.released {
            switch side {
            case .gateway: exchanges[id]?.request.isHeldBack = false
            case .agent: exchanges[id]?.response.isHeldBack = false
            }
        }
        guard message.readableBytes > 0 else { return }
        if message.readableBytes > FrameLimits.maxMessageSize { failures.append("a message too long") }
        watch(message, from: side)
        switch side {
        case .gateway: toAgent.append(message)
        case .agent: toGateway.append(message)
        }
    }

    /// Keeps the books of credit, from what is seen on the wire alone.
    private mutating func watch(_ message: ByteBuffer, from side: Side) {
        for frame in decoded(message) {
            switch (side, frame) {
            case (.gateway, .headers(let id, .request(let head), _)): exchanges[id]?.response.granted = Int(head.window)
            case (.gateway, .data(let id, let bytes, _)): exchanges[id]?.request.onWire += bytes.readableBytes
            case (.gateway, .window(let id, let increment)): exchanges[id]?.response.granted += Int(increment)
            case (.agent, .data(let id, let bytes, _)): exchanges[id]?.response.onWire += bytes.readableBytes
            case (.agent, .window(let id, let increment)):
                exchanges[id]?.request.granted += Int(increment)
                seen.insert(.creditReturned)
            default: break
            }
        }
        for (id, exchange) in exchanges {
            if exchange.request.onWire == exchange.request.granted { seen.insert(.creditUsedUp) }
            if exchange.request.onWire > exchange.request.granted { failures.append("request \(id) beyond its credit") }
            if exchange.response.onWire > exchange.response.granted {
                failures.append("answer \(id) beyond its credit")
            }
        }
    }

    private mutating func deliver(to side: Side) {
        switch side {
        case .agent:
            guard !toAgent.isEmpty else { return }
            for frame in decoded(toAgent.removeFirst()) { handle(agent.receive(frame), at: .agent) }
        case .gateway:
            guard !toGateway.isEmpty else { return }
            for frame in decoded(toGateway.removeFirst()) { handle(gateway.receive(frame), at: .gateway) }
        }
        if agent.reservedBytes > budget || gateway.reservedBytes > budget {
            failures.append("the budget is exceeded")
        }
    }

    private mutating func decoded(_ message: ByteBuffer) -> [Frame] {
        do {
            return try frames(in: message)
        } catch {
            failures.append("unreadable: \(error)")
            return []
        }
    }

    private mutating func handle(_ action: Multiplexer.Action, at side: Side) {
        switch action {
        case .none: break
        case .opened(let id, _, let endStream):
            exchanges[id]?.isKnownToAgent = true
            if endStream { exchanges[id]?.request.hasEnded = true }
        case .responded(let id, let head, let endStream):
            if endStream, !head.isInformational { exchanges[id]?.response.hasEnded = true }
        case .data(let id, let bytes, let endStream):
            take(bytes, endStream, at: side, id)
        case .trailers(let id, let fields):
            seen.insert(.trailers)
            if fields != ["t": "\(id)"] { failures.append("trailers of stream \(id): \(fields)") }
            take(ByteBuffer(), true, at: side, id)
        case .reset(let id, let code, _):
            seen.insert(code == .refused ? .refused : .reset)
            exchanges[id]?.isReset = true
        // The gateway hears of it by RESET.
        case .refused: break
        case .draining, .close: failures.append("\(side): \(action)")
        }
    }

    private mutating func take(_ bytes: ByteBuffer, _ endStream: Bool, at side: Side, _ id: StreamID) {
        let path = side == .agent ? \Exchange.request : \Exchange.response
        guard var flow = exchanges[id]?[keyPath: path] else {
            failures.append("bytes of an unknown stream \(id)")
            return
        }
        if Self.pattern.getSlice(at: flow.offset + flow.received, length: bytes.readableBytes) != bytes {
            failures.append("wrong bytes on stream \(id) at \(flow.received)")
        }
        if flow.hasEnded { failures.append("something after the end of stream \(id)") }
        flow.received += bytes.readableBytes
        if endStream {
            flow.hasEnded = true
            if flow.length > 100_000 { seen.insert(.longBody) }
            if side == .gateway, exchanges[id]?.request.hasEnded == false { seen.insert(.answeredEarly) }
            if flow.received != flow.length {
                failures.append("stream \(id) ended after \(flow.received) of \(flow.length) bytes")
            }
        }
        exchanges[id]?[keyPath: path] = flow
    }

    private mutating func with<Result>(_ side: Side, _ body: (inout Multiplexer) -> Result) -> Result {
        switch side {
        case .gateway: body(&gateway)
        case .agent: body(&agent)
        }
    }
}
