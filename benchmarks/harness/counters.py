"""Counters of Plait's metrics, summed over all processes and labels of this home."""


def counted(name: str) -> float:
    """What a counter (`plait_adapter_loads_total`) stands at."""
    from plait.observability.exporter import NodeCollector
    from plait.settings import settings

    samples = [s for family in NodeCollector(settings().metrics_dir).collect() for s in family.samples]
    return sum(sample.value for sample in samples if sample.name == name)
