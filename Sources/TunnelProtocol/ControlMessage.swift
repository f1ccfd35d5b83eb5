/// A message of the tunnel's control channel: one WebSocket text message, `{"type": …, "payload": …}`.
///
/// See `docs/tunnel-protocol.md`, "Control messages".
package enum ControlMessage: Hashable, Sendable {
    /// Agent to gateway, first message of a tunnel.
    case hello(Hello)
    /// Gateway to agent, the answer to `hello`; streams may be opened after it.
    case welcome(Welcome)
    /// Agent to gateway: routes added, changed, removed, or the whole set.
    case ingressRoutes(IngressRoutes)
    /// Gateway to agent: what became of one revision of the routes.
    case ingressRoutesAck(IngressRoutesAck)
    /// Agent to gateway, every heartbeat interval.
    case heartbeat(Heartbeat)
    /// Gateway to agent.
    case heartbeatAck(HeartbeatAck)
    /// Gateway to agent: send the whole set again.
    case resync(Resync)
    /// Either way: something about the last message, or the reason why the tunnel is closed now.
    case error(ControlError)

    /// The longest text message either side sends or accepts, in bytes.
    package static let maximumSize = 64 * 1024

    package struct Hello: Codable, Hashable, Sendable {
        /// Protocol versions the agent speaks, best first.
        package var versions: [Int]
        package var clusterUUID: String
        /// Tells replicas of one agent apart; stable for the life of the process.
        package var agentID: String
        package var agentVersion: String
        /// How many streams the agent carries at once on this tunnel.
        package var maxStreams: Int
        /// Which tunnel of the agent's pool this is, from 0; 0 where it is not said. A new tunnel of the same agent and
        /// the same number takes the place of the older one.
        package var tunnel: Int

        package init(
            versions: [Int], clusterUUID: String, agentID: String, agentVersion: String, maxStreams: Int,
            tunnel: Int = 0
        ) {
            self.versions = versions
            self.clusterUUID = clusterUUID
            self.agentID = agentID
            self.agentVersion = agentVersion
            self.maxStreams = maxStreams
            self.tunnel = tunnel
        }

        package init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            versions = try values.decode([Int].self, forKey: .versions)
            clusterUUID = try values.decode(String.self, forKey: .clusterUUID)
            agentID = try values.decode(String.self, forKey: .agentID)
            agentVersion = try values.decode(String.self, forKey: .agentVersion)
            maxStreams = try values.decode(Int.self, forKey: .maxStreams)
            tunnel = try values.decodeIfPresent(Int.self, forKey: .tunnel) ?? 0
        }

        private enum CodingKeys: String, CodingKey {
            case versions, tunnel
            case clusterUUID = "cluster_uuid"
            case agentID = "agent_id"
            case agentVersion = "agent_version"
            case maxStreams = "max_streams"
        }
    }

    package struct Welcome: Codable, Hashable, Sendable {
        package var version: Int
        /// The gateway instance that was reached.
        package var instanceID: String
        /// Names this tunnel in the logs of both sides.
        package var tunnelID: String
        /// Hosts below `<cluster-uuid>.<gateway domain>` belong to the cluster.
        package var gatewayDomain: String
        package var heartbeatIntervalMilliseconds: Int
        /// How often the gateway sends canaries; absent where it sends none.
        package var canaryIntervalMilliseconds: Int?
        /// Names the store of routes that this gateway reads and writes: gateways that name the same one, or none,
        /// share it, and what one of them was told all of them know.
        package var registry: String?

        package init(
            version: Int, instanceID: String, tunnelID: String, gatewayDomain: String,
            heartbeatIntervalMilliseconds: Int, canaryIntervalMilliseconds: Int? = nil, registry: String? = nil
        ) {
            self.version = version
            self.instanceID = instanceID
            self.tunnelID = tunnelID
            self.gatewayDomain = gatewayDomain
            self.heartbeatIntervalMilliseconds = heartbeatIntervalMilliseconds
            self.canaryIntervalMilliseconds = canaryIntervalMilliseconds
            self.registry = registry
        }

        private enum CodingKeys: String, CodingKey {
            case version, registry
            case instanceID = "instance_id"
            case tunnelID = "tunnel_id"
            case gatewayDomain = "gateway_domain"
            case heartbeatIntervalMilliseconds = "heartbeat_interval_ms"
            case canaryIntervalMilliseconds = "canary_interval_ms"
        }
    }

    package struct IngressRoutes: Codable, Hashable, Sendable {
        package enum Action: String, Codable, Hashable, Sendable {
            case add
            case update
            case delete
            /// The routes, over all pages, replace everything the cluster had.
            case sync
        }

        /// The part of a `sync` that one message carries.
        package struct Page: Codable, Hashable, Sendable {
            /// From 0.
            package var index: Int
            /// The set takes effect with its last page.
            package var last: Bool

            package init(index: Int, last: Bool) {
                self.index = index
                self.last = last
            }
        }

        package var action: Action
        package var clusterUUID: String
        package var routes: [AdvertisedRoute]
        /// The ledger revision this message brings the gateway to; every message of a session has a higher one than
        /// the message before it, except that the pages of one `sync` share theirs.
        package var revision: Int64
        /// Only with `sync`; absent means the only page.
        package var page: Page?

        package init(
            action: Action, clusterUUID: String, routes: [AdvertisedRoute], revision: Int64, page: Page? = nil
        ) {
            self.action = action
            self.clusterUUID = clusterUUID
            self.routes = routes
            self.revision = revision
            self.page = page
        }

        private enum CodingKeys: String, CodingKey {
            case action, routes, revision, page
            case clusterUUID = "cluster_uuid"
        }
    }

    package struct IngressRoutesAck: Codable, Hashable, Sendable {
        package struct Rejection: Codable, Hashable, Sendable {
            package var host: String
            package var path: String
            package var pathType: String
            /// CamelCase, for programs: `HostnameConflict`, `InvalidHost`, `InvalidPath`, `QuotaExceeded`, ….
            package var reason: String
            /// A sentence, for people.
            package var message: String

            package init(host: String, path: String, pathType: String, reason: String, message: String) {
                self.host = host
                self.path = path
                self.pathType = pathType
                self.reason = reason
                self.message = message
            }

            private enum CodingKeys: String, CodingKey {
                case host, path, reason, message
                case pathType = "path_type"
            }
        }

        package var revision: Int64
        /// How many routes of the message took effect.
        package var accepted: Int
        package var rejected: [Rejection]

        package init(revision: Int64, accepted: Int, rejected: [Rejection] = []) {
            self.revision = revision
            self.accepted = accepted
            self.rejected = rejected
        }
    }

    package struct Heartbeat: Codable, Hashable, Sendable {
        package struct Metadata: Codable, Hashable, Sendable {
            package var isPrivate: Bool
            /// How many routes the agent has advertised.
            package var gatewayRoutes: Int

            package init(isPrivate: Bool, gatewayRoutes: Int) {
                self.isPrivate = isPrivate
                self.gatewayRoutes = gatewayRoutes
            }

            private enum CodingKeys: String, CodingKey {
                case isPrivate = "is_private"
                case gatewayRoutes = "gateway_routes"
            }
        }

        package var metadata: Metadata
        /// The last revision the gateway acknowledged to this session.
        package var revision: Int64
        /// `RouteDigest` of the set at that revision, so that drift is found.
        package var digest: String

        package init(metadata: Metadata, revision: Int64, digest: String) {
            self.metadata = metadata
            self.revision = revision
            self.digest = digest
        }
    }

    package struct HeartbeatAck: Codable, Hashable, Sendable {
        package var revision: Int64

        package init(revision: Int64) { self.revision = revision }
    }

    package struct Resync: Codable, Hashable, Sendable {
        package var reason: String

        package init(reason: String) { self.reason = reason }
    }

    package struct ControlError: Codable, Hashable, Sendable {
        /// snake_case, for programs; the names of `ProtocolViolation.Code` and of `TunnelRefusal`.
        package var code: String
        package var message: String
        /// How long to wait before dialling again, where the tunnel is closed on purpose.
        package var retryAfterMilliseconds: Int?

        package init(code: String, message: String, retryAfterMilliseconds: Int? = nil) {
            self.code = code
            self.message = message
            self.retryAfterMilliseconds = retryAfterMilliseconds
        }

        private enum CodingKeys: String, CodingKey {
            case code, message
            case retryAfterMilliseconds = "retry_after_ms"
        }
    }
}
