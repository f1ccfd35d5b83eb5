import EdgeGateway
import Foundation
import Routing
import Synchronization

/// Changes routes while they are looked up, on a thread of its own, as the registry does. What each host serves stays.
final class RouteChanger: Sendable {
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
