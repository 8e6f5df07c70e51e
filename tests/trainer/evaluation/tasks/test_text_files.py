"""CSV files and lists: other encodings, missing quotes and wrong numbers of fields are named with file and line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synpat_shards import InputError
from synpat_train.evaluation.tasks.text_files import read_csv, read_lines

GOOD = "filename,label,fold\n" + "".join(f"{n}.wav,dog,{n % 5}\n" for n in range(10))


def written(folder: Path, content: bytes) -> Path:
    (folder / "metadata.csv").write_bytes(content)
    return folder / "metadata.csv"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_marks_and_line_ends_are_no_part_of_the_fields(end: str, encoding: str, tmp_path: Path):
    path = written(tmp_path, GOOD.replace("dog", "h\u00f8und\u2028").replace("\n", end).encode(encoding))
    rows = read_csv(path).rows("filename", "label", "fold")
    assert rows[3] == {"filename": "3.wav", "label": "h\u00f8und\u2028", "fold": "3"}
    assert len(rows) == 10


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            GOOD.replace("4.wav,dog", "4.wav,caf\u00e9").encode("latin-1"),
            "line 6, is not in UTF-8: it has the byte 0xe9",
        ),
        (GOOD.encode("utf-16"), "is in UTF-16: save it in UTF-8"),
        (GOOD.encode("utf-16-le"), "line 1, is not in UTF-8: it has the byte 0x00"),
        (GOOD.replace("4.wav", "4\0.wav").encode(), "line 6, is not in UTF-8: it has the byte 0x00"),
        (GOOD.replace("4.wav,dog", '4.wav,"dog').encode(), "line 6, is not valid CSV .*: check its quotes"),
        (GOOD.replace("4.wav,dog", '4.wav,"dog').replace("7.wav,dog", '7.wav,dog"').encode(), "line 6, .*quotes"),
        (GOOD.replace("4.wav,dog", '4.wav,"dog').replace("7.wav,dog", '7.wav","dog').encode(), "line 6, .*quotes"),
        (GOOD.replace("4.wav,dog", '4.wav,"big\ndog"').encode(), "line 6, has a field of 2 lines: check its quotes"),
        (GOOD.replace("dog", '"dog', 1).encode() + GOOD.encode() * 2000, "line 2, is not valid CSV .*field"),
        (GOOD.replace("4.wav,dog", "4.wav,dog, small").encode(), "line 6, has 4 fields instead of 3: put fields"),
        (GOOD.replace(",", ";").encode(), "no column filename .*it has filename;label;fold. Columns must be separated"),
        (GOOD.replace("fold", "label").encode(), "has no column fold; it has filename, label, label"),
        (b"filename,label,label,fold\na,b,c,d\n", "has the column label more than once"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
    ],
)
def test_each_fault_is_named_with_file_and_line(content: bytes, words: str, tmp_path: Path):
    with pytest.raises(InputError, match=rf"^\S+metadata.csv.*{words}") as error:
        read_csv(written(tmp_path, content)).rows("filename", "label", "fold")
    assert "\n" not in str(error.value)


def test_quoted_commas_blank_lines_and_empty_fields_at_the_end_are_valid(tmp_path: Path):
    path = written(tmp_path, b'filename,label,fold\n\na.wav,"dog, small",1,,\nb.wav,cat\n\n')
    assert [list(row.values()) for row in read_csv(path).rows()] == [["a.wav", "dog, small", "1"], ["b.wav", "cat", ""]]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_rejected_in_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = written(tmp_path_factory.mktemp("any"), content)
    messages = []
    for read in (lambda: read_csv(path).rows(), lambda: list(read_lines(path))):
        try:
            read()
        except InputError as fault:
            messages.append(str(fault))
    assert not any("\n" in message for message in messages)
