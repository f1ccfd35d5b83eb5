import EdgeGateway
import Foundation
import Routing
import Synchronization

/// What another thread does to the cache while look-ups are timed. What each host serves stays as it is.
final class Meanwhile: Sendable {
    private let cache: RouteCache
    private let hosts: [Hostname: [HostnameClaims.Entry]]
    private let isStopped = Atomic(false)
    private let changed = Atomic(0)
    private let running = DispatchGroup()

    init(cache: RouteCache, hosts: [Hostname: [HostnameClaims.Entry]]) {
        self.cache = cache
        self.hosts = hosts
    }

    func startReplacing(perSecond rate: Int) {
        let names = Array(hosts.keys)
        start { [self] round in
            let host = names[round % names.count]
            cache.replace([host: hosts[host] ?? []], sequence: UInt64(round + 2))
            changed.add(1, ordering: .relaxed)
            Thread.sleep(forTimeInterval: 1 / Double(rate))
        }
    }

    func startReplacingAll() {
        start { [self] round in
            cache.replace(hosts, sequence: UInt64(round + 2))
            changed.add(hosts.count, ordering: .relaxed)
        }
    }

    /// As another event loop of the front door would if it did nothing else.
    func startLookingUp(_ requests: [RouteShape.Request]) {
        start { [cache] round in
            let request = requests[round % requests.count]
            _ = cache.lookup(host: request.authority, path: request.target)
        }
    }

    /// Returns how many hosts were replaced.
    func stop() -> Int {
        isStopped.store(true, ordering: .relaxed)
        running.wait()
        return changed.load(ordering: .relaxed)
    }

    private func start(_ change: @escaping @Sendable (Int) -> Void) {
        running.enter()
        Thread.detachNewThread { [self] in
            var round = 0
            while !isStopped.load(ordering: .relaxed) {
                change(round)
                round += 1
            }
            running.leave()
        }
    }
}
