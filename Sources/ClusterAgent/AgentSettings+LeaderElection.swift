import Foundation
package import KubernetesAPI
package import Settings

extension AgentSettings {
    /// How replicas of the agent agree on the one that writes and publishes.
    package struct LeaderElection: Hashable, Sendable {
        /// The Lease they agree by.
        package var lease: ObjectKey
        /// How long the others wait for a leader that has fallen silent.
        package var leaseDuration: Duration
        /// How long a leader goes on that cannot renew the Lease.
        package var renewDeadline: Duration
        /// Between two attempts to get or renew the Lease.
        package var retryPeriod: Duration

        package init(
            lease: ObjectKey, leaseDuration: Duration = .seconds(15), renewDeadline: Duration = .seconds(10),
            retryPeriod: Duration = .seconds(2)
        ) {
            self.lease = lease
            self.leaseDuration = leaseDuration
            self.renewDeadline = renewDeadline
            self.retryPeriod = retryPeriod
        }
    }

    /// The namespace of the Pod the agent runs in: what `POD_NAMESPACE` says, otherwise the file that comes with the
    /// service account's token. `nil` outside a cluster.
    package static func podNamespace(
        environment: [String: String],
        file: String = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
    ) throws(SettingsError) -> String? {
        if let name = environment["POD_NAMESPACE"], !name.isEmpty {
            guard ObjectNames.isLabel(name) else {
                throw SettingsError(setting: "POD_NAMESPACE", value: name, problem: "must be the name of a namespace")
            }
            return name
        }
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { return nil }
        let name = text.trimmingCharacters(in: .whitespacesAndNewlines)
        return ObjectNames.isLabel(name) ? name : nil
    }
}

extension AgentSettings.LeaderElection {
    /// Reads every setting, also those that have no effect, so that a wrong one is never found out only later.
    ///
    /// - Returns: `nil` if there is to be no election.
    init?(_ reader: SettingsReader<AgentSettings.Name>, podNamespace: String?) throws(SettingsError) {
        let isOn = try reader.bool(.leaderElect, default: true)
        let lease = try reader.objectKey(.leaderElectLease, of: "a Lease", example: "pipeops-system/pipeops-agent")
        self.init(
            lease: lease ?? ObjectKey(namespace: podNamespace ?? "pipeops-system", name: "pipeops-agent"),
            leaseDuration: try reader.duration(
                .leaderElectLeaseDuration, default: .seconds(15), in: .seconds(1) ... .seconds(3600)),
            renewDeadline: try reader.duration(
                .leaderElectRenewDeadline, default: .seconds(10), in: .milliseconds(100) ... .seconds(3600)),
            retryPeriod: try reader.duration(
                .leaderElectRetryPeriod, default: .seconds(2), in: .milliseconds(10) ... .seconds(3600)))
        guard leaseDuration > renewDeadline else {
            throw reader.refusal(
                of: .leaderElectLeaseDuration,
                problem:
                    "must be longer than leader-elect-renew-deadline, which is \(DurationText.format(renewDeadline))"
                    + ": otherwise two replicas could lead at a time")
        }
        guard renewDeadline > retryPeriod else {
            throw reader.refusal(
                of: .leaderElectRenewDeadline,
                problem: "must be longer than leader-elect-retry-period, which is \(DurationText.format(retryPeriod))"
                    + ": otherwise a leader could never try again")
        }
        guard isOn else { return nil }
    }
}

// MARK: - Kubernetes names and selectors

extension SettingsReader {
    /// `namespace/name` of an object.
    ///
    /// - Parameters:
    ///   - what: the kind of the object, with its article.
    ///   - example: such an object.
    func objectKey(_ name: Name, of what: String, example: String) throws(SettingsError) -> ObjectKey? {
        try value(name, expected: "namespace/name of \(what), such as \(example)") { text in
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, ObjectNames.isLabel(parts[0]), ObjectNames.isSubdomain(parts[1]) else {
                return nil
            }
            return ObjectKey(namespace: String(parts[0]), name: String(parts[1]))
        }
    }

    /// A label selector; `nil` if it is not given, or selects everything.
    func labelSelector(_ name: Name) throws(SettingsError) -> LabelSelector? {
        guard let given = given(name) else { return nil }
        do {
            let selector = try LabelSelector(given.text)
            return selector.isEmpty ? nil : selector
        } catch {
            throw refusal(
                of: name,
                problem: "must be a label selector such as app=web,tier in (front, back),!internal, but \(error)")
        }
    }
}
