"""Metrics, one a file: what is measured of a sample. Each is registered here."""

from plait.evaluation.metrics.abstention import Abstention
from plait.evaluation.metrics.answer_relevance import AnswerRelevance
from plait.evaluation.metrics.citations import CitationPrecision, CitationRecall
from plait.evaluation.metrics.contains import Contains
from plait.evaluation.metrics.context_precision import ContextPrecision
from plait.evaluation.metrics.context_recall import ContextRecall
from plait.evaluation.metrics.correctness import Correctness
from plait.evaluation.metrics.counterfactual_citations import CounterfactualCitations
from plait.evaluation.metrics.faithfulness import Faithfulness
from plait.evaluation.metrics.form import Form
from plait.evaluation.metrics.metric import register
from plait.evaluation.metrics.noise_sensitivity import NoiseSensitivity
from plait.evaluation.metrics.retrieval import RetrievalMetric
from plait.evaluation.metrics.rouge_l import RougeL
from plait.evaluation.metrics.semantic_similarity import SemanticSimilarity
from plait.evaluation.metrics.token_f1 import ExactMatch, TokenF1

register("contains", lambda instruments: Contains(), "replies that have an expected answer in them, as whole tokens")
register(
    "exact_match",
    lambda instruments: ExactMatch(),
    "replies that are an expected answer, but for case, punctuation and articles",
)
register("token_f1", lambda instruments: TokenF1(), "F1 of the words of reply and expected answer")
register(
    "rouge_l",
    lambda instruments: RougeL(),
    "F-measure of the longest common subsequence of words of reply and expected answer",
)
register("semantic_similarity", SemanticSimilarity.of, "cosine of reply and expected answer")
register(
    "correctness",
    lambda instruments: Correctness(instruments.judge),
    "facts of the expected answer: found / (found + missing + 2 × contradicted) by the reply",
)
register(
    "faithfulness",
    lambda instruments: Faithfulness(instruments.judge),
    "claims of the reply that its passages support / claims",
)
register(
    "answer_relevance",
    lambda instruments: AnswerRelevance(instruments.judge),
    "replies that answer what was asked, true or not",
)
register(
    "context_precision",
    lambda instruments: ContextPrecision(instruments.judge),
    "whether passages that help to answer stand before the others: average precision",
)
register(
    "context_recall",
    lambda instruments: ContextRecall(instruments.judge),
    "facts of the expected answer that the passages support / facts",
)
register(
    "citation_precision",
    lambda instruments: CitationPrecision(instruments.judge),
    "citations that support their sentence and are not superfluous / citations",
)
register(
    "citation_recall",
    lambda instruments: CitationRecall(instruments.judge),
    "sentences that what they cite supports / sentences that need a citation",
)
register(
    "counterfactual_citations",
    CounterfactualCitations.of,
    "cited passages without which the answer changes / cited passages",
)
register(
    "noise_sensitivity",
    lambda instruments: NoiseSensitivity(instruments.judge),
    "1 − wrong claims that a passage supports / claims",
)
register(
    "abstention",
    lambda instruments: Abstention(instruments.judge),
    "replies that decline if and only if the question has no answer",
)
register("form", lambda instruments: Form(), "replies that match the pattern of their question")

register(
    "retrieval_recall",
    lambda instruments: RetrievalMetric("retrieval_recall", "R"),
    "documents or chunks with the answer that were found / all that have it",
)
register(
    "retrieval_precision",
    lambda instruments: RetrievalMetric("retrieval_precision", "P"),
    "found documents or chunks that have the answer / found ones",
)
register(
    "retrieval_mrr",
    lambda instruments: RetrievalMetric("retrieval_mrr", "RR"),
    "1 / rank of the first document or chunk that has the answer",
)
register(
    "retrieval_ndcg",
    lambda instruments: RetrievalMetric("retrieval_ndcg", "nDCG"),
    "how far ahead documents or chunks with the answer stand: nDCG",
)
