"""What must work, one function each, in the order in which they run."""

from __future__ import annotations

from . import bad_input, changes, exposure, failures, first_route, requests, rollouts, upgrades

SCENARIOS = [
    first_route.cluster_is_private,
    first_route.example_answers,
    first_route.gateway_route_says_so,
    first_route.status_comes_before_the_route,
    first_route.kubectl_shows_gateway_routes,
    requests.request_arrives_untouched,
    requests.response_arrives_untouched,
    requests.forwarding_fields_are_the_gateways,
    requests.download_is_exact,
    requests.upload_is_exact,
    requests.chunks_arrive_one_by_one,
    requests.concurrent_requests_get_their_own_answers,
    upgrades.websockets_pass,
    changes.paths_of_one_host_go_to_two_services,
    changes.named_port_resolves,
    changes.changes_are_effective_at_once,
    changes.messages_are_those_of_the_source,
    changes.heartbeats_say_what_they_must,
    bad_input.unusable_ingresses_get_conditions,
    bad_input.unknown_hosts_and_malformed_requests_are_answered,
    bad_input.misbehaving_peers_disturb_nobody,
    bad_input.wrong_settings_are_refused,
    exposure.ingress_controller_becomes_the_target,
    exposure.public_address_withdraws_the_routes,
    failures.agent_killed,
    failures.agent_with_a_wrong_token_is_refused,
    failures.agent_restarted,
    failures.gateway_killed,
    rollouts.new_programs_take_over,
]
