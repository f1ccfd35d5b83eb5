package import Foundation
package import KubernetesAPI

/// The decisions of leader election on a Lease; pure.
///
/// Safety rests on locally observed time alone: a candidate takes a lease over only after it has itself seen the lease
/// unchanged for the lease's whole duration, and a leader holds itself for leader only until `renewDeadline`, which is
/// shorter, after it *began* its last successful renewal. The times written in the lease are for people; nobody's clock
/// is compared with another's.
///
/// | what is found | what to do |
/// |---|---|
/// | no lease | create it |
/// | held by nobody, or by us | write it |
/// | held by another, changed since last seen | start its time anew, wait |
/// | held by another, unchanged, its time not over | wait |
/// | held by another, unchanged for its whole duration | write it, one more transition |
///
/// Every write names the resource version it is based on, so of two candidates one is refused.
package struct LeaderElectionState: Sendable {
    /// `leaseDuration` > `renewDeadline` > `retryPeriod`.
    package struct Settings: Sendable {
        /// How long others wait for a leader that has fallen silent.
        package var leaseDuration: Duration
        /// How long a leader goes on without a successful renewal.
        package var renewDeadline: Duration
        /// Between two attempts, times 1 to 1.2.
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
        /// When this candidate first saw the lease like this.
        var since: Duration
    }

    private let identity: String
    private let settings: Settings
    private var observed: Observed?
    /// When the last successful renewal was begun.
    private var renewed: Duration?

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
        return .update(spec(after: observed.spec, date: date), resourceVersion: observed.resourceVersion)
    }

    /// The lease as read; nil if there is none.
    package mutating func found(_ lease: Lease?, now: Duration, date: Date) -> Action {
        guard let lease else {
            observed = nil
            return .create(spec(after: nil, date: date))
        }
        let spec = lease.spec ?? Lease.Spec()
        let version = lease.metadata.resourceVersion ?? ""
        if observed?.resourceVersion != version || observed?.spec != spec {
            observed = Observed(spec: spec, resourceVersion: version, since: now)
        }
        let since = observed?.since ?? now
        let duration = Duration.seconds(spec.leaseDurationSeconds ?? 0)
        if let holder = spec.holderIdentity, !holder.isEmpty, holder != identity, now < since + duration {
            renewed = nil
            return .wait
        }
        return .update(self.spec(after: spec, date: date), resourceVersion: version)
    }

    /// The server took what was written; `began` is when the request was sent off.
    package mutating func written(_ lease: Lease, began: Duration, now: Duration) {
        observed = Observed(
            spec: lease.spec ?? Lease.Spec(), resourceVersion: lease.metadata.resourceVersion ?? "", since: now)
        renewed = began
    }

    /// Somebody else has written meanwhile: what is known is not true any more. A leader stays one until its time is
    /// over or it has seen another's name.
    package mutating func refused() {
        // The time since which another's lease was seen is kept: the lease itself says whether it is still the same.
        if renewed != nil { observed = nil }
    }

    /// Whether the next attempt has to read first.
    package var mustRead: Bool { renewed == nil || observed == nil }

    /// Ends the leadership on this side.
    package mutating func stepDown() { renewed = nil }

    /// What to write to hand the lease over at once; nil if it is not ours.
    package func release(date: Date) -> (spec: Lease.Spec, resourceVersion: String)? {
        guard renewed != nil, let observed, observed.spec.holderIdentity == identity else { return nil }
        let spec = Lease.Spec(
            holderIdentity: "", leaseDurationSeconds: 1, acquireTime: MicroTime(date), renewTime: MicroTime(date),
            leaseTransitions: observed.spec.leaseTransitions)
        return (spec, observed.resourceVersion)
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
