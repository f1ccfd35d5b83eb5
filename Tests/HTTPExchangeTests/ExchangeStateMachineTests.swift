import HTTPExchange
import NIOCore
import Testing

@Suite("One proxied request")
struct ExchangeStateMachineTests {
    private typealias Machine = ExchangeStateMachine

    private static let start = NIODeadline.uptimeNanoseconds(0)
    private static func at(_ seconds: Int64) -> NIODeadline { start + .seconds(seconds) }

    /// Every state an exchange can be in.
    enum State: CaseIterable, Sendable {
        case sending
        case sent
        case answeredWhileSending
        case answered
        case over

        var machine: ExchangeStateMachine {
            var machine = ExchangeStateMachine(
                requestEnded: self == .sent || self == .answered, now: start, timeouts: .init())
            switch self {
            case .sending, .sent: break
            case .answeredWhileSending, .answered:
                _ = machine.responseHead(isInformational: false, isEnd: false, now: start)
            case .over: _ = machine.serverFailed(.internalError)
            }
            return machine
        }
    }

    @Test("Informational heads are forwarded up to a bound, and do not put the wait for the final one off")
    func informationalHeads() {
        var machine = State.sent.machine
        let deadline = machine.deadline
        var forwarded = 0
        for _ in 0..<1000 {
            let later = Self.start + .seconds(1)
            if machine.responseHead(isInformational: true, isEnd: false, now: later) == .forward { forwarded += 1 }
        }
        #expect(forwarded == 16)
        #expect(machine.deadline == deadline)
        #expect(machine.responseHead(isInformational: false, isEnd: true, now: Self.start) == .forwardAndFinish)
    }

    @Test("A request with a body and its answer, from beginning to end")
    func transcript() {
        var machine = State.sending.machine
        #expect(machine.requestPart(isEnd: false, now: Self.start) == .forward)
        #expect(machine.responseHead(isInformational: true, isEnd: false, now: Self.start) == .forward)
        #expect(!machine.hasResponseHead)
        #expect(machine.requestPart(isEnd: true, now: Self.start) == .forward)
        #expect(machine.requestHasEnded)
        #expect(machine.responseHead(isInformational: false, isEnd: false, now: Self.start) == .forward)
        #expect(machine.hasResponseHead)
        #expect(machine.responsePart(isEnd: false, now: Self.start) == .forward)
        #expect(!machine.isOver)
        #expect(machine.responsePart(isEnd: true, now: Self.start) == .forwardAndFinish)
        #expect(machine.isOver)
    }

    @Test(
        "Part of a request is forwarded while it is wanted",
        arguments: zip(
            State.allCases,
            [
                Machine.RequestAction.forward, .discard, .forward, .discard, .discard,
            ]))
    func requestPart(state: State, expected: ExchangeStateMachine.RequestAction) {
        for isEnd in [false, true] {
            var machine = state.machine
            #expect(machine.requestPart(isEnd: isEnd, now: Self.start) == expected)
            #expect(machine.requestPart(isEnd: isEnd, now: Self.start) == (isEnd ? .discard : expected))
        }
    }

    @Test(
        "A final head is forwarded once",
        arguments: zip(
            State.allCases,
            [
                Machine.ResponseAction.forward, .forward, .fail(.abort(.backendInvalid)),
                .fail(.abort(.backendInvalid)), .discard,
            ]))
    func head(state: State, expected: ExchangeStateMachine.ResponseAction) {
        var machine = state.machine
        #expect(machine.responseHead(isInformational: false, isEnd: false, now: Self.start) == expected)
        if case .fail = expected { #expect(machine.isOver) }
    }

    @Test(
        "An informational head may come only before the final one",
        arguments: zip(
            State.allCases,
            [
                Machine.ResponseAction.forward, .forward, .fail(.abort(.backendInvalid)),
                .fail(.abort(.backendInvalid)), .discard,
            ]))
    func informational(state: State, expected: ExchangeStateMachine.ResponseAction) {
        var machine = state.machine
        let hadHead = machine.hasResponseHead
        #expect(machine.responseHead(isInformational: true, isEnd: false, now: Self.start) == expected)
        if expected == .forward { #expect(machine.hasResponseHead == hadHead) }
    }

    @Test(
        "A head without a body ends the exchange, or cuts a request that is still under way",
        arguments: zip(State.allCases.prefix(2), [Machine.ResponseAction.forwardAndCut, .forwardAndFinish]))
    func emptyAnswer(state: State, expected: ExchangeStateMachine.ResponseAction) {
        var machine = state.machine
        #expect(machine.responseHead(isInformational: false, isEnd: true, now: Self.start) == expected)
        #expect(machine.isOver)
    }

    @Test(
        "Part of an answer needs a head before it",
        arguments: zip(
            State.allCases,
            [
                Machine.ResponseAction.fail(.answer(.backendInvalid)), .fail(.answer(.backendInvalid)), .forward,
                .forward, .discard,
            ]))
    func part(state: State, expected: ExchangeStateMachine.ResponseAction) {
        var machine = state.machine
        #expect(machine.responsePart(isEnd: false, now: Self.start) == expected)
    }

    @Test(
        "The end of an answer ends the exchange",
        arguments: zip(
            State.allCases,
            [
                Machine.ResponseAction.fail(.answer(.backendInvalid)), .fail(.answer(.backendInvalid)),
                .forwardAndCut, .forwardAndFinish, .discard,
            ]))
    func end(state: State, expected: ExchangeStateMachine.ResponseAction) {
        var machine = state.machine
        #expect(machine.responsePart(isEnd: true, now: Self.start) == expected)
        #expect(machine.isOver)
    }

    @Test(
        "A failure is answered before the head, breaks the answer after it, and is nothing at the end",
        arguments: zip(
            State.allCases,
            [
                Machine.Failed.answer(.backendClosed), .answer(.backendClosed), .abort(.backendClosed),
                .abort(.backendClosed), .nothing,
            ]))
    func failure(state: State, expected: ExchangeStateMachine.Failed) {
        var machine = state.machine
        #expect(machine.serverFailed(.backendClosed) == expected)
        #expect(machine.isOver)
        #expect(machine.serverFailed(.backendClosed) == .nothing)
        #expect(machine.responseHead(isInformational: false, isEnd: true, now: Self.start) == .discard)
        #expect(machine.requestPart(isEnd: true, now: Self.start) == .discard)
    }

    @Test(
        "A client that goes away cancels the server, once",
        arguments: zip(State.allCases, [true, true, true, true, false]))
    func clientClosed(state: State, cancels: Bool) {
        var machine = state.machine
        #expect(machine.clientClosed() == cancels)
        #expect(machine.clientClosed() == false)
        #expect(machine.serverFailed(.tunnelLost) == .nothing)
    }

    @Test(
        "Waiting ends with the failure that fits",
        arguments: zip(
            State.allCases,
            [
                Machine.Failed.answer(.requestTimeout), .answer(.backendTimeout), .abort(.idleTimeout),
                .abort(.idleTimeout), .nothing,
            ]))
    func deadlines(state: State, expected: ExchangeStateMachine.Failed) {
        var machine = state.machine
        let limit: Int64 = machine.hasResponseHead ? 300 : 30
        if state != .over { #expect(machine.deadline == Self.at(limit)) }
        #expect(machine.checkDeadline(now: Self.at(limit) - .nanoseconds(1)) == .nothing)
        #expect(machine.checkDeadline(now: Self.at(limit)) == expected)
        #expect(machine.checkDeadline(now: Self.at(1000)) == .nothing)
    }

    @Test("A request that stands still is its client's fault, unless the client may not go on")
    func whoseFault() {
        var machine = State.sending.machine
        machine.requestHeld(true)
        #expect(machine.checkDeadline(now: Self.at(30)) == .answer(.backendTimeout))
        machine = State.sending.machine
        machine.requestHeld(true)
        machine.requestHeld(false)
        #expect(machine.checkDeadline(now: Self.at(30)) == .answer(.requestTimeout))
        // Whoever was told to wait, and went on.
        machine = State.sending.machine
        machine.requestHeld(true)
        #expect(machine.requestPart(isEnd: false, now: Self.at(1)) == .forward)
        #expect(machine.checkDeadline(now: Self.at(31)) == .answer(.requestTimeout))
        machine = State.sending.machine
        _ = machine.requestPart(isEnd: true, now: Self.at(1))
        #expect(machine.checkDeadline(now: Self.at(31)) == .answer(.backendTimeout))
    }

    @Test("All that is HTTP is over in time, whatever moves; another protocol is not bound by it")
    func total() {
        func machine(requestEnded: Bool) -> Machine {
            Machine(
                requestEnded: requestEnded, now: Self.start,
                timeouts: .init(response: .seconds(30), idle: .seconds(30), total: .seconds(60)))
        }
        var sending = machine(requestEnded: false)
        for second in stride(from: Int64(20), to: 60, by: 20) {
            #expect(sending.requestPart(isEnd: false, now: Self.at(second)) == .forward)
        }
        #expect(sending.deadline == Self.at(60))
        #expect(sending.checkDeadline(now: Self.at(59)) == .nothing)
        #expect(sending.checkDeadline(now: Self.at(60)) == .answer(.requestTimeout))

        var waiting = machine(requestEnded: false)
        _ = waiting.requestPart(isEnd: true, now: Self.at(50))
        #expect(waiting.checkDeadline(now: Self.at(60)) == .answer(.timeLimit))

        var answering = machine(requestEnded: true)
        _ = answering.responseHead(isInformational: false, isEnd: false, now: Self.at(29))
        #expect(answering.responsePart(isEnd: false, now: Self.at(58)) == .forward)
        #expect(answering.deadline == Self.at(60))
        #expect(answering.checkDeadline(now: Self.at(60)) == .abort(.timeLimit))

        var upgraded = machine(requestEnded: true)
        #expect(upgraded.switchedProtocols(now: Self.at(1)) == true)
        #expect(upgraded.deadline == Self.at(3601))
    }

    @Test("Whatever moves puts the deadline off")
    func activity() {
        var machine = ExchangeStateMachine(
            requestEnded: false, now: Self.start, timeouts: .init(response: .seconds(10), idle: .seconds(100)))
        _ = machine.requestPart(isEnd: false, now: Self.at(5))
        #expect(machine.deadline == Self.at(15))
        _ = machine.requestPart(isEnd: true, now: Self.at(6))
        #expect(machine.deadline == Self.at(16))
        _ = machine.requestPart(isEnd: true, now: Self.at(9))
        #expect(machine.deadline == Self.at(16))
        _ = machine.responseHead(isInformational: false, isEnd: false, now: Self.at(12))
        #expect(machine.deadline == Self.at(112))
        _ = machine.responsePart(isEnd: false, now: Self.at(50))
        #expect(machine.deadline == Self.at(150))
        machine.progressed(now: Self.at(70))
        #expect(machine.deadline == Self.at(170))
    }

    // MARK: Other protocols

    private static func upgraded() -> Machine {
        var machine = State.sent.machine
        #expect(machine.switchedProtocols(now: start) == true)
        return machine
    }

    @Test("Behind a 101 both directions are bytes until each is ended; the client may end first")
    func upgrade() {
        var machine = State.sent.machine
        #expect(machine.requestPart(isEnd: false, now: Self.start) == .discard)
        #expect(machine.responseHead(isInformational: true, isEnd: false, now: Self.start) == .forward)
        #expect(machine.switchedProtocols(now: Self.start) == true)
        #expect(machine.hasResponseHead)
        #expect(!machine.requestHasEnded)
        #expect(machine.requestPart(isEnd: false, now: Self.start) == .forward)
        #expect(machine.responsePart(isEnd: false, now: Self.start) == .forward)
        #expect(machine.requestPart(isEnd: true, now: Self.start) == .forward)
        #expect(machine.requestPart(isEnd: false, now: Self.start) == .discard)
        #expect(machine.responsePart(isEnd: false, now: Self.start) == .forward)
        #expect(machine.responsePart(isEnd: true, now: Self.start) == .forwardAndFinish)
        #expect(machine.isOver)
    }

    @Test("The application that ends first still hears the client to its end")
    func upgradeEndsAtServer() {
        var machine = Self.upgraded()
        #expect(!machine.hasHalfClosed)
        #expect(machine.responsePart(isEnd: true, now: Self.start) == .forwardAndHalfClose)
        #expect(machine.hasHalfClosed)
        #expect(machine.responsePart(isEnd: false, now: Self.start) == .discard)
        #expect(machine.requestPart(isEnd: false, now: Self.start) == .forward)
        #expect(!machine.isOver)
        #expect(machine.requestPart(isEnd: true, now: Self.start) == .forwardAndFinish)
        #expect(machine.isOver)
        #expect(machine.requestPart(isEnd: true, now: Self.start) == .discard)
    }

    @Test("Where one side has ended, the other may be silent no longer than within an answer")
    func upgradeHalfClosedTimeout() {
        for clientEnds in [false, true] {
            var machine = Self.upgraded()
            #expect(machine.deadline == Self.at(3600))
            if clientEnds {
                #expect(machine.requestPart(isEnd: true, now: Self.at(10)) == .forward)
            } else {
                #expect(machine.responsePart(isEnd: true, now: Self.at(10)) == .forwardAndHalfClose)
            }
            #expect(machine.deadline == Self.at(310))
            machine.progressed(now: Self.at(20))
            #expect(machine.deadline == Self.at(320))
            #expect(machine.checkDeadline(now: Self.at(320)) == .abort(.idleTimeout))
        }
    }

    @Test("What fails behind the application's last word breaks the connection, and no head comes then")
    func upgradeHalfClosedFails() {
        var machine = Self.upgraded()
        _ = machine.responsePart(isEnd: true, now: Self.start)
        #expect(machine.serverFailed(.tunnelLost) == .abort(.tunnelLost))
        machine = Self.upgraded()
        _ = machine.responsePart(isEnd: true, now: Self.start)
        #expect(
            machine.responseHead(isInformational: false, isEnd: true, now: Self.start) == .fail(.abort(.backendInvalid))
        )
    }

    @Test("A 101 is a final head: none comes before it or behind it")
    func upgradeOnce() {
        for state in State.allCases {
            var machine = state.machine
            #expect(machine.switchedProtocols(now: Self.start) == (state == .sending || state == .sent))
        }
        var machine = Self.upgraded()
        #expect(machine.switchedProtocols(now: Self.start) == false)
        for isInformational in [false, true] {
            var machine = Self.upgraded()
            #expect(
                machine.responseHead(isInformational: isInformational, isEnd: false, now: Self.start)
                    == .fail(.abort(.backendInvalid)))
            #expect(machine.isOver)
        }
    }

    @Test("What fails behind a 101 breaks the client's connection, and the client that goes away ends it")
    func upgradeFails() {
        var machine = Self.upgraded()
        #expect(machine.serverFailed(.tunnelLost) == .abort(.tunnelLost))
        #expect(machine.serverFailed(.tunnelLost) == .nothing)
        machine = Self.upgraded()
        #expect(machine.clientClosed() == true)
        #expect(machine.clientClosed() == false)
        #expect(machine.responsePart(isEnd: false, now: Self.start) == .discard)
    }

    @Test("Behind a 101 silence has a limit of its own, which every byte puts off")
    func upgradeTimeout() {
        var machine = ExchangeStateMachine(
            requestEnded: true, now: Self.start,
            timeouts: .init(response: .seconds(10), idle: .seconds(100), upgraded: .seconds(1000)))
        #expect(machine.switchedProtocols(now: Self.at(5)) == true)
        #expect(machine.deadline == Self.at(1005))
        _ = machine.requestPart(isEnd: false, now: Self.at(20))
        #expect(machine.deadline == Self.at(1020))
        _ = machine.responsePart(isEnd: false, now: Self.at(30))
        #expect(machine.deadline == Self.at(1030))
        machine.progressed(now: Self.at(40))
        #expect(machine.deadline == Self.at(1040))
        #expect(machine.checkDeadline(now: Self.at(1039)) == .nothing)
        #expect(machine.checkDeadline(now: Self.at(1040)) == .abort(.idleTimeout))
    }
}
