"""A text's encoding is what its mark or the text itself says, else a guess that is right for a line of text."""

import gzip
import random

import pytest

from plait.documents.text_encoding import Encoding, UnknownEncoding, decode, encoding_of

# fmt: off
TEXTS = [
    ("cp1252", "Välkommen till handboken. Åtkomst begärs i portalen, och frågor besvaras på måndagar."),
    ("latin-1", "Köp av böcker sker på nätet."),
    ("latin-1", "La città è più bella in primavera, perché c'è il sole."),
    ("cp1252", "L’università è aperta: però è già tardi."),
    ("latin-1", "A informação não está disponível nesta página. Atenção às alterações."),
    ("cp1252", "Instruções de instalação"),
    ("latin-1", "Käyttöohje: sähköpostin lähettäminen päivittäin. Älä sammuta tietokonetta."),
    ("cp1252", "Tervetuloa! Lämpötila on päivällä kymmenen astetta."),
    ("latin-1", "Les élèves ont déjà été reçus à l'école où ils étudient."),
    ("cp1252", "Le prix est de 15 € — livraison à l’hôtel comprise."),
    ("latin-1", "Grüße aus Köln: die Straße ist für Fußgänger geöffnet."),
    ("cp1252", "Die Prüfung fällt aus."),
    ("latin-1", "¿Dónde está el baño? La contraseña caducó el año pasado."),
    ("latin-1", "Rødgrød med fløde på en ø. Åbningstider er ændret."),
    ("cp1252", "Brukerhåndboken gjelder for både små og større bedrifter."),
    ("latin-1", "Eén café in België heeft geen ruïne."),
    ("latin-1", "Það er gott að læra íslensku á Íslandi."),
    ("cp1252", "The café’s menu costs £5 – that’s cheap, isn’t it?"),
    ("latin-1", "The temperature was 25°C and the price £9."),
    ("cp1252", "• First item\n• Second item – done\n"),
    ("latin-1", "# Author: Jürgen Müller\ndef f():\n    return 1\n"),
    ("cp1252", "name;city\nMüller;Zürich\nJosé;Málaga\nFrançois;Nîmes\n"),
    ("latin-1", "The bore has 5 µm of tolerance and all other parts have ten."),
    ("latin-1", "This is a naïve way to do it, and it works well enough for us."),
    ("cp1250", "Zażółć gęślą jaźń. Proszę wypełnić formularz zgłoszeniowy i wysłać go pocztą."),
    ("iso8859-2", "Proszę wypełnić formularz zgłoszeniowy i wysłać go jutro pocztą do księgowości."),
    ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy."),
    ("cp1250", "Az árvíztűrő tükörfúrógép nagyon hasznos eszköz a műhelyben."),
    ("cp1250", "Čitav život čekao je da dođe kući, ali nije mogao naći pravi način."),
    ("cp1251", "Всё, что нужно знать о программе: она читает документы."),
    ("koi8-r", "Всё, что нужно знать о программе: она читает документы."),
    ("cp866", "Всё, что нужно знать о программе: она читает документы и отвечает на вопросы."),
    ("cp1251", "Програма читає документи та відповідає на запитання користувачів."),
    ("cp1253", "Το πρόγραμμα διαβάζει έγγραφα και απαντά σε ερωτήσεις."),
    ("cp1254", "Şifrenizi değiştirmek için aşağıdaki bağlantıya tıklayın."),
    ("cp1257", "Ąžuolas yra didelis medis, kurio šaknys auga giliai žemėje."),
    ("cp1255", "התוכנית קוראת מסמכים ועונה על שאלות של משתמשים."),
    ("cp1256", "يقرأ البرنامج المستندات ويجيب عن أسئلة المستخدمين."),
    ("cp874", "โปรแกรมอ่านเอกสารและตอบคำถามของผู้ใช้"),
    ("shift_jis", "この文書は日本語で書かれています。プログラムは質問に答えます。"),
    ("euc-jp", "この文書は日本語で書かれています。プログラムは質問に答えます。"),
    ("iso2022_jp", "この文書は日本語で書かれています。"),
    ("gb18030", "本程序读取文档并回答用户的问题。请先安装依赖项。"),
    ("gbk", "用户手册"),
    ("big5", "本程式讀取文件並回答使用者的問題。請先安裝相依套件。"),
    ("euc-kr", "이 프로그램은 문서를 읽고 사용자의 질문에 답합니다."),
    ("utf-8", "Grüße"),
    ("utf-8-sig", "Grüße"),
    ("utf-16", "Grüße, 你好"),
    ("utf-32", "Grüße, 你好"),
    ("utf-16-le", "Grüße ohne Marke"),
    ("utf-16-be", "Grüße ohne Marke"),
]
# fmt: on


@pytest.mark.parametrize(("encoding", "text"), TEXTS)
def test_a_line_of_text_is_read_in_the_encoding_that_it_is_in(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('<meta charset="iso-8859-2"><p>Cz\xea\u015b\u0107'.encode("iso8859-2", "replace"), Encoding("iso8859-2")),
        ('<?xml version="1.0" encoding="windows-1251"?><p>да</p>'.encode("cp1251"), Encoding("cp1251")),
        ('<META http-equiv="Content-Type" content="text/html; charset=GB2312">中'.encode("gbk"), Encoding("gb18030")),
        ("# -*- coding: latin-1 -*-\n# Šé".encode("cp1252"), Encoding("cp1252")),
        ("<meta charset=iso-8859-1>Grüße".encode(), Encoding("utf-8")),
        ("<meta charset=utf-8>Die Grüße sind schön".encode("latin-1"), Encoding("cp1252", is_guessed=True)),
        ("<meta charset=punycode>Die Grüße sind schön".encode("latin-1"), Encoding("cp1252", is_guessed=True)),
        ("<meta charset='rot13'>Die Grüße sind schön".encode("latin-1"), Encoding("cp1252", is_guessed=True)),
        ("<meta charset=base64>Die Grüße sind schön".encode("latin-1"), Encoding("cp1252", is_guessed=True)),
        ("# coding: unicode_escape\n\\u0041 schöne Grüße".encode("latin-1"), Encoding("cp1252", is_guessed=True)),
        ("<meta charset=raw-unicode-escape>schöne Grüße".encode("latin-1"), Encoding("cp1252", is_guessed=True)),
        ("<meta charset=none-such>Die Grüße sind schön".encode("latin-1"), Encoding("cp1252", is_guessed=True)),
    ],
)
def test_what_a_text_declares_is_believed_before_a_guess_where_it_can_be(data: bytes, expected: Encoding) -> None:
    assert encoding_of(data) == expected


def test_utf_8_with_a_few_other_bytes_stays_utf_8() -> None:
    text = "Größe und Länge müssen hier für jede Tür stehen, früher wie später, möglichst schön. "
    assert decode(text.encode() * 2 + b"\xe9") == text * 2 + "\ufffd"
    assert encoding_of(text.encode() * 2 + b"\xe9") == Encoding("utf-8", errors="replace")


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(128, 256)) * 8,
        random.Random(5).randbytes(4000),
        random.Random(5).randbytes(60),
        gzip.compress(b"a text that is packed" * 10, mtime=0),
        b"\x89PNG\r\n\x1a\n\x01\x02\x03\x04\x05\x06\xff\xfe\x80\x81",
    ],
)
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(UnknownEncoding, match="not text in any known encoding"):
        encoding_of(data)
