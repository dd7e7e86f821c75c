"""The alerts: Prometheus rules made from an `AlertPolicy`, for a rules file or a PrometheusRule of Kubernetes.

Burn rates are looked at over two windows each (Google, The Site Reliability Workbook, 2018, chapter 5): the long one
says that it matters, the short one that it still goes on. Every alert has its page in docs/runbooks.
"""

from collections.abc import Iterator
from typing import Any

import yaml
from prometheus_client.utils import floatToGoString

from plait import errors
from plait.errors import PlaitError
from plait.observability import metrics
from plait.observability.alert_policy import FASTEST_BURN, AlertPolicy
from plait.observability.promql import duration, rate, seconds_of, series

# (times the budget's even use, long window, short window), by how soon somebody must look.
_BURNS = {
    "page": ((FASTEST_BURN, "1h", "5m"), (6, "6h", "30m")),
    "ticket": ((3, "1d", "2h"), (1, "3d", "6h")),
}
_WINDOWS = sorted({window for burns in _BURNS.values() for burn in burns for window in burn[1:]}, key=seconds_of)
_BY = "namespace, adapter"
_INTERVAL_S = 30
_LOOKBACK_S = 14 * 86_400
"""How long a job's last words are remembered after its pod is gone; Prometheus keeps 15 days unless told otherwise."""


def failures() -> str:
    """Outcomes of requests that are our fault, as a regular expression: a full queue is, a wrong model name is not."""
    kinds = [PlaitError, *(kind for kind in vars(errors).values() if isinstance(kind, type))]
    return "|".join(
        sorted({kind.code for kind in kinds if issubclass(kind, PlaitError) and _is_ours(kind.http_status)})
    )


def _is_ours(status: int) -> bool:
    return status >= 500 or status == errors.Overloaded.http_status


def rule_groups(policy: AlertPolicy) -> dict[str, Any]:
    """What a rules file holds, and the `spec` of a PrometheusRule."""
    rules = _Rules(policy)
    groups = {"plait-slo": [*rules.burn_records(), *rules.burns()], "plait-serving": [*rules.serving()]}
    groups["plait-jobs"] = [*rules.jobs()]
    interval = rules.time(_INTERVAL_S)
    return {"groups": [{"name": name, "interval": interval, "rules": found} for name, found in groups.items()]}


def rules_file(policy: AlertPolicy) -> str:
    """YAML for `rule_files` of Prometheus."""
    return yaml.safe_dump(rule_groups(policy), sort_keys=False, width=120, allow_unicode=True)


def prometheus_rule(policy: AlertPolicy) -> str:
    """YAML of the same rules as an object for prometheus-operator."""
    labels = {"app.kubernetes.io/name": "plait", "app.kubernetes.io/component": "monitoring"}
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "plait", "labels": labels},
        "spec": rule_groups(policy),
    }
    return yaml.safe_dump(manifest, sort_keys=False, width=120, allow_unicode=True)


class _Rules:
    """The rules of one policy."""

    def __init__(self, policy: AlertPolicy) -> None:
        self._policy = policy
        self._answered = series(metrics.REQUESTS, 'outcome="ok"')
        self._failed = series(metrics.REQUESTS, f'outcome=~"{failures()}"')
        self._all = series(metrics.REQUESTS, f'outcome=~"ok|{failures()}"')

    def time(self, seconds: float) -> str:
        return duration(seconds * self._policy.time_scale)

    def _window(self, name: str) -> str:
        return self.time(seconds_of(name))

    def _alert(self, name: str, severity: str, expr: str, summary: str, for_s: float = 0) -> dict[str, Any]:
        wait = {"for": self.time(for_s)} if for_s else {}
        notes = {"summary": summary, "runbook_url": f"{self._policy.runbooks.rstrip('/')}/{name}.md"}
        return {"alert": name, "expr": expr, **wait, "labels": {"severity": severity}, "annotations": notes}

    # ------------------------------------------------------------ objectives

    def burn_records(self) -> Iterator[dict[str, str]]:
        within = f'le="{floatToGoString(self._policy.ttft_s)}"'
        for name in _WINDOWS:
            window = self._window(name)
            failed, asked = rate(self._failed, window, _BY), rate(self._all, window, _BY)
            yield {"record": f"plait:request_errors:ratio_rate{name}", "expr": f"{failed} / {asked}"}
            quick = rate(series(metrics.TTFT, within, "bucket"), window, _BY)
            begun = rate(series(metrics.TTFT, part="count"), window, _BY)
            yield {"record": f"plait:slow_first_tokens:ratio_rate{name}", "expr": f"1 - {quick} / {begun}"}

    def burns(self) -> Iterator[dict[str, Any]]:
        policy = self._policy
        for severity in _BURNS:
            yield self._alert(
                "PlaitErrorBudgetBurn",
                severity,
                self._burn(severity, "plait:request_errors", 1 - policy.error_objective, self._all),
                "{{ $value | humanizePercentage }} of the requests for "
                "{{ or $labels.adapter `base` }} fail; the objective allows "
                f"{1 - policy.error_objective:.3g} of all.",
            )
            yield self._alert(
                "PlaitSlowFirstToken",
                severity,
                self._burn(
                    severity, "plait:slow_first_tokens", 1 - policy.ttft_objective, series(metrics.TTFT, part="count")
                ),
                "{{ $value | humanizePercentage }} of the answers of {{ or $labels.adapter `base` }} begin later than "
                f"{policy.ttft_s:g} s; the objective allows {1 - policy.ttft_objective:.3g} of all.",
            )

    def _burn(self, severity: str, record: str, budget: float, requests: str) -> str:
        """Any of the severity's pairs of windows, both of a pair above its burn rate."""
        pairs = []
        for factor, long, short in _BURNS[severity]:
            enough = f"sum by ({_BY}) (increase({requests}[{self._window(long)}])) >= {self._policy.min_requests}"
            share = f"{factor * budget:.6g}"
            pairs.append(f"({record}:ratio_rate{long} > {share} and {record}:ratio_rate{short} > {share} and {enough})")
        return " or ".join(pairs)

    # ------------------------------------------------------------ serving

    def serving(self) -> Iterator[dict[str, Any]]:
        policy, window = self._policy, self.time(600)
        waiting = "plait:requests_waiting:sum"
        yield {"record": waiting, "expr": f"sum by (namespace) ({series(metrics.ENGINE_WAITING)})"}
        yield self._alert(
            "PlaitQueueGrowing",
            "page",
            # The second half leaves out a queue that a burst left behind and that is being worked off.
            f"{waiting} >= 0.9 * avg_over_time({waiting}[{window}]) "
            f"and min_over_time({waiting}[{window}]) >= {policy.queue_requests}",
            "{{ $value | humanize }} requests wait for the engine, and the queue does not shrink.",
            for_s=60,
        )
        kv_use = f"min_over_time({series(metrics.KV_CACHE_USE)}[{window}])"
        yield self._alert(
            "PlaitKVCacheFull",
            "ticket",
            f"max by (namespace) ({kv_use}) >= {policy.kv_cache_share:g}",
            "The KV cache is {{ $value | humanizePercentage }} in use all the time: fewer requests share a step.",
            for_s=60,
        )
        failed_loads = series(metrics.ADAPTER_LOADS, 'outcome="failed"')
        yield self._alert(
            "PlaitAdapterLoadFailing",
            "page",
            # An increase does not see a series' first value, so one failed load of a mistyped folder tells nobody.
            f"sum by (namespace, adapter) (increase({failed_loads}[{self.time(900)}])) "
            f">= {policy.adapter_load_failures}",
            "The adapter {{ $labels.adapter }} cannot be loaded, again and again; its requests fail.",
        )
        yield from self._rollouts()
        yield from self._cost()
        yield from self._route_cost()
        yield from self._quality()
        yield self._alert(
            "PlaitRouteDrift",
            "ticket",
            f"max by (namespace, policy) ({series(metrics.ROUTE_DRIFTED)}) == 1",
            "The questions for auto are farther from those that {{ $labels.policy }} was learned from than usual.",
            for_s=1800,
        )
        yield from self._processes()
        yield self._alert(
            "PlaitExporterDown",
            "ticket",
            'up{job="plait"} == 0',
            "Nothing answers at {{ $labels.instance }}: no other alert can see that node.",
            for_s=300,
        )

    def _rollouts(self) -> Iterator[dict[str, Any]]:
        ended = f"max by (namespace, adapter) ({series(metrics.ROLLED_BACK_AT)})"
        yield self._alert(
            "PlaitRolledBack",
            "ticket",
            f"time() - {ended} < {3600 * self._policy.time_scale:g}",
            "The candidate for {{ $labels.adapter }} was rolled back {{ $value | humanizeDuration }} ago; the champion "
            "answers.",
        )

    def _processes(self) -> Iterator[dict[str, Any]]:
        yield self._alert(
            "PlaitProcessRestarted",
            "ticket",
            f"sum by (namespace, process) (increase({series(metrics.PROCESS_RESTARTS)}[{self.time(900)}])) > 0",
            "{{ $labels.process }} died and was started again, about {{ $value | humanize }} times in 15 minutes.",
        )
        yield self._alert(
            "PlaitProcessDown",
            "page",
            f"max by (namespace, process) ({series(metrics.PROCESS_UP)}) == 0",
            "{{ $labels.process }} died, and nothing has brought it back.",
            for_s=60,
        )

    def _cost(self) -> Iterator[dict[str, Any]]:
        policy, hour = self._policy, self.time(3600)
        replicas, seconds = "plait:llm_replicas:sum", "plait:replica_seconds_per_answer:1h"
        yield {"record": replicas, "expr": f"sum by (namespace) ({series(metrics.LLM_REPLICAS)})"}
        answers = rate(self._answered, hour, "namespace")
        yield {"record": seconds, "expr": f"avg_over_time({replicas}[{hour}]) / ({answers} > 0)"}
        price = f"max by (namespace) ({series(metrics.REPLICA_HOUR_PRICE)} > 0)"
        yield {"record": "plait:cost_per_answer:1h", "expr": f"{seconds} * {price} / 3600"}
        yield self._alert(
            "PlaitCostPerAnswerJump",
            "ticket",
            f"{seconds} > {policy.cost_jump:g} * ({seconds} offset {self.time(86_400)}) "
            f"and sum by (namespace) (increase({self._answered}[{hour}])) >= {policy.min_requests}",
            "An answer takes {{ $value | humanizeDuration }} of a replica, "
            f"more than {policy.cost_jump:g} times as much as yesterday.",
            for_s=1800,
        )

    def _route_cost(self) -> Iterator[dict[str, Any]]:
        policy, hour, by = self._policy, self.time(3600), "namespace, model_name"
        cost = "plait:route_cost_per_answer:1h"
        answers = f"({rate(self._answered, hour, by)} > 0)"
        yield {"record": cost, "expr": f"{rate(series(metrics.ANSWER_COST), hour, by)} / {answers}"}
        yield self._alert(
            "PlaitRouteCostJump",
            "ticket",
            f"{cost} > {policy.cost_jump:g} * ({cost} offset {self.time(86_400)}) "
            f"and sum by ({by}) (increase({self._answered}[{hour}])) >= {policy.min_requests}",
            "The tokens of an answer of {{ $labels.model_name }} cost {{ $value | humanize }}, "
            f"more than {policy.cost_jump:g} times as much as yesterday.",
            for_s=1800,
        )

    def _quality(self) -> Iterator[dict[str, Any]]:
        policy, hour, day = self._policy, self.time(3600), self.time(86_400)
        by = "namespace, metric, model_name, collection"
        total, count = (series(metrics.JUDGED_SCORE, part=part) for part in ("sum", "count"))
        mean, before = "plait:judged_score:mean1h", "plait:judged_score:mean1d"
        yield {"record": mean, "expr": f"{rate(total, hour, by)} / ({rate(count, hour, by)} > 0)"}
        yield {"record": before, "expr": f"{rate(total, day, by)} / ({rate(count, day, by)} > 0)"}
        yield self._alert(
            "PlaitJudgedQualityFell",
            "ticket",
            # The day ends where the hour begins, so that what fell does not pull down what it is compared with.
            f"{mean} < ({before} offset {hour}) - {policy.quality_drop:g} "
            f"and sum by ({by}) (increase({count}[{hour}])) >= {policy.min_judged}",
            "{{ $labels.metric }} of {{ $labels.model_name }} on {{ or $labels.collection `no collection` }} is "
            f"{{{{ $value | humanize }}}} over an hour, more than {policy.quality_drop:g} below the day before.",
        )

    # ------------------------------------------------------------ jobs

    def jobs(self) -> Iterator[dict[str, Any]]:
        policy = self._policy
        in_step = f"max_over_time({series(metrics.INGEST_IN_STEP)}[{self.time(_LOOKBACK_S)}])"
        yield self._alert(
            "PlaitIndexStale",
            "ticket",
            f"time() - max by (namespace, collection) ({in_step}) > {policy.index_max_age_s * policy.time_scale:g}",
            "The collection {{ $labels.collection }} held what its sources did "
            "{{ $value | humanizeDuration }} ago, and nothing since says that it still does.",
        )
        progress = f"max by (namespace, adapter) ({series(metrics.TRAIN_PROGRESS)})"
        yield self._alert(
            "PlaitTrainingStalled",
            "ticket",
            f"time() - {progress} > {policy.train_max_pause_s * policy.time_scale:g}",
            "The training of {{ $labels.adapter }} lives, but did its last step {{ $value | humanizeDuration }} ago.",
        )
