"""`plait ask` of the server, and what `plait serve` refuses before anything starts."""

import socket
from pathlib import Path

import openai
import pytest
from typer.testing import CliRunner

from plait.chat_client import ask as ask_server
from plait.cli import app
from plait.errors import CollectionNotFound, Conflict, InvalidInput, ModelNotFound, Unavailable
from plait.local.process import check_port_is_free
from plait.serve.deploy import deploy, read_config
from serving.asking import COLLECTION, QUESTION, ask


def test_ask_prints_the_answer_and_its_sources(server: str, client: openai.OpenAI) -> None:
    question = str(QUESTION[0]["content"])
    result = CliRunner().invoke(app, ["ask", question, "--model", "rag/support:1", "--url", server], color=False)
    assert result.exit_code == 0, result.output
    cited = ask(client, "rag/support:1").choices[0].message.annotations
    for citation in cited:
        assert citation.source in result.output
    assert "support:1" in result.output
    elsewhere = ["ask", question, "tenant=nobody", "mode=bm25", "--model", "rag/base", "--url", server]
    assert "say nothing about that" in CliRunner().invoke(app, elsewhere, color=False).output
    wrong = CliRunner().invoke(app, ["ask", question, "topk=1", "--url", server], color=False)
    assert "retrieval.topk" in str(wrong.exception) + wrong.output


def test_ask_without_a_server_says_how_to_start_one() -> None:
    with pytest.raises(Unavailable, match=r"No server answers at http://127\.0\.0\.1:1 .*plait serve"):
        ask_server("http://127.0.0.1:1", "base", "hello", 4)


def test_ask_shows_the_servers_own_sentence(server: str) -> None:
    with pytest.raises(ModelNotFound, match="Did you mean 'support'"):
        ask_server(server, "suport", "hello", 4)


def test_a_second_server_on_another_port_is_refused(server: str, tiny_model: Path) -> None:
    config = read_config("local", [f"llm.model={tiny_model}", "retrieval=null"])
    config["http_options"]["port"] += 1
    with pytest.raises(Conflict, match=r"Serve already runs on 127\.0\.0\.1:"):
        deploy(config, print)


def test_a_model_that_is_not_there_is_said_before_anything_starts(ray_cluster: None) -> None:
    with pytest.raises(ModelNotFound, match="The model package 'no-such' is not installed"):
        deploy(read_config("local", ["llm.model=package:no-such", "retrieval=null"]), print)


def test_a_collection_that_is_not_there_is_said_before_anything_starts(server: str, tiny_model: Path) -> None:
    with pytest.raises(CollectionNotFound, match=f"Did you mean '{COLLECTION}'"):
        deploy(read_config("local", [f"llm.model={tiny_model}", f"retrieval.collection={COLLECTION[:-1]}"]), print)


def test_a_port_in_use_is_one_sentence(server: str) -> None:
    port = int(server.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)), pytest.raises(Conflict, match=f"Port {port} is in use"):
        check_port_is_free(port, "127.0.0.1", "PLAIT_HTTP_PORT")


def test_a_bad_override_of_the_application_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'llm.modl' is not known .* Did you mean 'llm.model'\?"):
        deploy(read_config("local", ["llm.modl=x"]), print)
