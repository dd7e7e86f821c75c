"""Whether a cluster has room for one more job now.

In: what the nodes have, what is in use, and the jobs of ours that run. Out: yes or no, by what the queue sends a job or
lets it wait. A job counts in full from the moment it is submitted, since it takes its resources only later.
"""

from collections.abc import Iterable, Mapping, Sequence

from plait.jobs.submission.cluster import Cluster

_KINDS = ("CPU", "GPU")


def has_room(
    demand: Mapping[str, float],
    nodes: Sequence[Mapping[str, float]],
    in_use: Mapping[str, float],
    reserved: Iterable[Mapping[str, float]],
) -> bool:
    """Whether `demand` fits beside what is taken: the larger of what Ray counts and what our jobs hold."""
    reserved = list(reserved)
    for kind in _KINDS:
        has = sum(node.get(kind, 0) for node in nodes)
        taken = max(in_use.get(kind, 0), sum(job.get(kind, 0) for job in reserved))
        wanted = demand.get(kind, 0)
        if wanted and wanted > has - taken:
            return False
    return True


def held_by_our_jobs(cluster: Cluster) -> list[dict[str, float]]:
    """What each of Plait's jobs that has not ended was submitted for."""
    held = []
    for job in cluster.jobs.list_jobs():
        about = job.metadata or {}
        if not job.status.is_terminal() and "plait.cpus" in about:
            held.append({"CPU": float(about["plait.cpus"]), "GPU": float(about["plait.gpus"])})
    return held
