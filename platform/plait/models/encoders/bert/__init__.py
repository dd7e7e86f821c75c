"""Embedding models of BERT's kind (BERT and XLM-RoBERTa: MiniLM, BGE, E5, GTE, …) on CPUs without a matrix unit, in
8-bit integers.

Only models of which weights, settings and tokenizer are all understood are taken, and only if their vectors keep a
cosine of 0.999 to those of float32; OpenVINO and torch compute the others.
"""
