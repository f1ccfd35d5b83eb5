package import Foundation
package import KubernetesAPI

/// The decisions of leader election on a Lease; pure.
///
/// Safety rests on locally observed time alone: a candidate takes a lease over only after it has itself seen the lease
/// unchanged for the lease's duration, and a leader holds itself for leader only until `renewDeadline`, which is shorter,
/// after it *began* its last successful renewal. The times written in the lease are for people; nobody's clock is compared
/// with another's. A leader that has written its deadline beside the lease is followed a little earlier, see `patience`.
///
/// | what is found | what to do |
/// |---|---|
/// | no lease | create it |
/// | held by nobody, or by us | write it |
/// | held by another, changed since last seen | start its time anew, wait |
/// | held by another, unchanged, its time not over | wait |
/// | held by another, unchanged for its duration | write it, one more transition |
///
/// Every write names the resource version it is based on, so of two candidates one is refused.
package struct LeaderElectionState: Sendable {
    /// `leaseDuration` > `renewDeadline` > `retryPeriod`.
    package struct Settings: Sendable {
        /// How long others wait for a leader that has fallen silent.
        package var leaseDuration: Duration
        /// How long a leader goes on without a successful renewal.
        package var renewDeadline: Duration
        /// Between two renewals. Who stands by asks twice as often, so that a lease that was let go is taken within
        /// the time of one renewal.
        package var retryPeriod: Duration

        package init(
            leaseDuration: Duration = .seconds(15), renewDeadline: Duration = .seconds(10),
            retryPeriod: Duration = .seconds(2)
        ) {
            precondition(leaseDuration > renewDeadline && renewDeadline > retryPeriod && retryPeriod > .zero)
            self.leaseDuration = leaseDuration
            self.renewDeadline = renewDeadline
            self.retryPeriod = retryPeriod
        }
    }

    /// The next request of an attempt.
    package enum Action: Hashable, Sendable {
        /// Read the lease, then say what was `found`.
        case read
        /// Create it; then `written` or `refused`.
        case create(Lease.Spec)
        /// Write this over the revision named; then `written` or `refused`.
        case update(Lease.Spec, resourceVersion: String)
        /// Somebody else leads; try again later.
        case wait
    }

    private struct Observed {
        var spec: Lease.Spec
        var resourceVersion: String
        /// How long its holder goes on without a renewal, where it has said so.
        var renewDeadline: Duration?
        /// When this candidate first saw the lease like this.
        var since: Duration
    }

    private let identity: String
    private let settings: Settings
    private var observed: Observed?
    /// When the last successful renewal was begun.
    private var renewed: Duration?
    /// A write was sent off and its answer is not known: the lease may be ours without our knowing.
    private var hasUnansweredWrite = false

    package init(identity: String, settings: Settings) {
        self.identity = identity
        self.settings = settings
    }

    /// Until when this candidate may take itself for the leader; nil if it is not.
    package var leadsUntil: Duration? { renewed.map { $0 + settings.renewDeadline } }

    /// Who holds the lease, as far as known; nil if nobody does.
    package var holder: String? { observed?.spec.holderIdentity.flatMap { $0.isEmpty ? nil : $0 } }

    /// Begins an attempt to get or to renew the lease.
    package mutating func attempt(date: Date) -> Action {
        // The leader knows what the lease looks like: it wrote it.
        guard renewed != nil, let observed else { return .read }
        hasUnansweredWrite = true
        return .update(spec(after: observed.spec, date: date), resourceVersion: observed.resourceVersion)
    }

    /// The lease as read; nil if there is none.
    package mutating func found(_ lease: Lease?, now: Duration, date: Date) -> Action {
        guard let lease else {
            observed = nil
            hasUnansweredWrite = true
            return .create(spec(after: nil, date: date))
        }
        let spec = lease.spec ?? Lease.Spec()
        let version = lease.metadata.resourceVersion ?? ""
        if observed?.resourceVersion != version || observed?.spec != spec {
            observed = Observed(
                spec: spec, resourceVersion: version, renewDeadline: RenewDeadline(lease)?.duration, since: now)
        }
        if let holder = spec.holderIdentity, !holder.isEmpty, holder != identity, let observed,
            now < observed.since + patience(with: observed)
        {
            renewed = nil
            hasUnansweredWrite = false
            return .wait
        }
        hasUnansweredWrite = true
        return .update(self.spec(after: spec, date: date), resourceVersion: version)
    }

    /// The server took what was written; `began` is when the request was sent off. A leader whose time was
    /// over meanwhile has lost: whoever asked it in between was told so already.
    package mutating func written(_ lease: Lease, began: Duration, now: Duration) {
        let isTooLate = leadsUntil.map { now >= $0 } ?? false
        observed = Observed(
            spec: lease.spec ?? Lease.Spec(), resourceVersion: lease.metadata.resourceVersion ?? "", since: now)
        renewed = isTooLate ? nil : began
        // Then the lease is ours all the same, and has to be let go.
        hasUnansweredWrite = isTooLate
    }

    /// Somebody else has written meanwhile: what is known is not true any more. A leader stays one until its time is
    /// over or it has seen another's name.
    package mutating func refused() {
        hasUnansweredWrite = false
        // The time since which another's lease was seen is kept: the lease itself says whether it is still the same.
        if renewed != nil { observed = nil }
    }

    /// Whether the next attempt has to read first.
    package var mustRead: Bool { renewed == nil || observed == nil || hasUnansweredWrite }

    /// Ends the leadership on this side.
    package mutating func stepDown() { renewed = nil }

    /// How long to wait before the next attempt of one who stands by: half a retry period, a little more at random, but
    /// no longer than until another's lease may be taken over.
    package func standbyDelay(now: Duration, random: Double) -> Duration {
        let regular = settings.retryPeriod / 2 * (1 + (Self.longestJitter - 1) * random)
        guard let observed, holder != nil, holder != identity else { return regular }
        let left = observed.since + patience(with: observed) - now
        return left > .zero ? min(regular, left) : regular
    }

    /// How long another's lease has to be seen unchanged before it is taken over: its duration, and where its holder has not
    /// written one, ours.
    ///
    /// Where the holder has told its renew deadline: less the longest time that its last renewal may have gone unseen here,
    /// so that who is silent is followed within the duration after that renewal; and at least half-way between that
    /// deadline and the duration. What is promised is the holder's alone: this candidate's own deadline does not count,
    /// which is another one while settings are being changed.
    private func patience(with observed: Observed) -> Duration {
        let duration = observed.spec.leaseDurationSeconds.map { .seconds($0) } ?? settings.leaseDuration
        guard let deadline = observed.renewDeadline else { return duration }
        let unseen = settings.retryPeriod / 2 * Self.longestJitter
        return min(duration, max(duration - unseen, (duration + deadline) / 2))
    }

    /// To be written beside each lease that is ours.
    package var annotations: [String: String] {
        [RenewDeadline.annotation: RenewDeadline(holder: identity, duration: settings.renewDeadline).text]
    }

    /// How long the holder of a lease goes on without a successful renewal, as it has written it beside the lease. With
    /// its name, because a holder of another make leaves the annotation of the one before as it is.
    private struct RenewDeadline {
        static let annotation = "leader-election.pipeops.io/renew-deadline"
        var holder: String
        var duration: Duration

        init(holder: String, duration: Duration) {
            self.holder = holder
            self.duration = duration
        }

        /// `nil` if the holder has written none.
        init?(_ lease: Lease) {
            guard let holder = lease.spec?.holderIdentity, let text = lease.metadata.annotations?[Self.annotation],
                text.hasSuffix("ms \(holder)"), let milliseconds = Int64(text.dropLast(holder.count + 3)),
                milliseconds > 0
            else { return nil }
            self.init(holder: holder, duration: .milliseconds(milliseconds))
        }

        /// `10000ms <holder>`; rounded up.
        var text: String { "\(Int64((duration / .milliseconds(1)).rounded(.up)))ms \(holder)" }
    }

    private static let longestJitter = 1.2

    /// Whether the lease is ours, or may be for all we know, so that it has to be let go.
    package var mayHoldLease: Bool { renewed != nil || hasUnansweredWrite }

    /// The next request of a release, begun with what is known of the lease.
    package enum Release: Hashable, Sendable {
        /// Read the lease, then ask again with what was found.
        case read
        /// Write this over the revision named. If that is refused, a renewal without an answer has come through: read.
        case write(Lease.Spec, resourceVersion: String)
        /// It is not ours.
        case nothing
    }

    /// How to let go of the lease at once. Writing over the revision we know also makes a renewal fail that is still on
    /// its way.
    package func release(date: Date) -> Release {
        guard mayHoldLease else { return .nothing }
        guard renewed != nil, let observed, observed.spec.holderIdentity == identity else { return .read }
        return .write(released(observed.spec, date), resourceVersion: observed.resourceVersion)
    }

    /// How to let go of the lease as it was read.
    package func release(_ found: Lease?, date: Date) -> Release {
        guard let found, let spec = found.spec, spec.holderIdentity == identity else { return .nothing }
        return .write(released(spec, date), resourceVersion: found.metadata.resourceVersion ?? "")
    }

    /// As client-go leaves a lease behind: held by nobody, for a second.
    private func released(_ spec: Lease.Spec, _ date: Date) -> Lease.Spec {
        Lease.Spec(
            holderIdentity: "", leaseDurationSeconds: 1, acquireTime: MicroTime(date), renewTime: MicroTime(date),
            leaseTransitions: spec.leaseTransitions)
    }

    private func spec(after old: Lease.Spec?, date: Date) -> Lease.Spec {
        let isRenewal = old?.holderIdentity == identity
        let seconds = Int((settings.leaseDuration / .seconds(1)).rounded(.up))
        return Lease.Spec(
            holderIdentity: identity, leaseDurationSeconds: seconds,
            acquireTime: isRenewal ? old?.acquireTime ?? MicroTime(date) : MicroTime(date), renewTime: MicroTime(date),
            leaseTransitions: (old?.leaseTransitions ?? 0) + (isRenewal || old == nil ? 0 : 1))
    }
}
