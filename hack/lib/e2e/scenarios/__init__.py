"""What must hold, in the order in which it is checked."""

from __future__ import annotations

from ..suite import Group
from . import (
    certificates, exposure, ingress_status, install, leadership, lifecycle, limits, main_job, outage, record_keeping,
    roles, rollouts, selection, shared_hosts,
)

GROUPS = [
    Group("install", install.CHECKS),
    Group("main_job", main_job.CHECKS, main_job.surroundings),
    Group("lifecycle", lifecycle.CHECKS),
    Group("selection", selection.CHECKS),
    Group("shared_hosts", shared_hosts.CHECKS),
    Group("record_keeping", record_keeping.CHECKS),
    Group("ingress_status", ingress_status.CHECKS),
    Group("exposure", exposure.CHECKS),
    Group("certificates", certificates.CHECKS),
    Group("leadership", leadership.CHECKS),
    Group("outage", outage.CHECKS),
    Group("rollouts", rollouts.CHECKS),
    Group("limits", limits.CHECKS),
    # Last: it looks back at what all the others made the agents do.
    Group("roles", roles.CHECKS),
]
