"""The kinds of policy: one a file, registered here."""

from plait.routing.policies.fixed import FixedConfig
from plait.routing.policies.learned import LearnedConfig
from plait.routing.policies.rules import RulesConfig
from plait.routing.policy import POLICIES

POLICIES.register(FixedConfig)
POLICIES.register(RulesConfig)
POLICIES.register(LearnedConfig)
