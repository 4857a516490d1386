import pytest

from recbole_dmf.commands.export import main, parser
from recbole_dmf.errors import UserError
from recbole_dmf.serving.export import FORMATS


def test_command_line_writes_all_formats(folder_of, tmp_path, capsys):
    for package in ("faiss", "safetensors", "onnx", "onnxruntime"):
        pytest.importorskip(package, reason="needs the extras faiss, safetensors and onnx")
    argv = [f"--checkpoint={folder_of('DMF-scaled')}", f"--output={tmp_path / 'out'}"]
    assert main([*argv, "--formats", ",".join(FORMATS)]) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["items.faiss", "user_tower.onnx", "vectors.npz", "weights.safetensors"]
    out = capsys.readouterr().out
    assert all(name in out for name in written)


def test_help_needs_nothing(capsys):
    with pytest.raises(SystemExit) as end:
        main(["-h"])
    assert end.value.code == 0
    assert main([]) == 0
    assert capsys.readouterr().out == parser().format_help() * 2


BAD = {
    "no checkpoint": (["--output={tmp}/out"], "no --checkpoint"),
    "no output": (["--checkpoint={DMF-cosine}"], "no --output"),
    "unknown format": (
        ["--checkpoint={DMF-cosine}", "--output={tmp}/out", "--formats=npz,zip"],
        "'zip'; choose from npz",
    ),
    "empty formats": (
        ["--checkpoint={DMF-cosine}", "--output={tmp}/out", "--formats="],
        "formats names ''",
    ),
    "unknown option": (
        ["--checkpoint={DMF-cosine}", "--output={tmp}/out", "--format=npz"],
        "did you mean formats",
    ),
    "output is a file": (["--checkpoint={DMF-cosine}", "--output={tmp}/file"], "cannot"),
    "checkpoint missing": (["--checkpoint={tmp}/no", "--output={tmp}/out"], "no checkpoint"),
    "no vectors": (["--checkpoint={ItemPop}", "--output={tmp}/out"], "has no vectors"),
    "no vectors for faiss": (
        ["--checkpoint={EASE}", "--output={tmp}/out", "--formats=faiss"],
        "has no vectors|needs faiss",
    ),
    "no user tower": (
        ["--checkpoint={BPR}", "--output={tmp}/out", "--formats=npz,onnx"],
        "DMF's user tower|needs onnx",
    ),
    "not all in tensors": (
        ["--checkpoint={ItemKNN}", "--output={tmp}/out", "--formats=safetensors"],
        "ItemKNN keeps neighbours|needs safetensors",
    ),
}


BAD_MODELS = ("DMF-cosine", "ItemPop", "ItemKNN", "EASE", "BPR")


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD)
def test_bad_commands(case, folder_of, tmp_path, capsys):
    argv, message = BAD[case]
    (tmp_path / "file").write_text("")
    places = {"tmp": str(tmp_path)}
    places |= {n: str(folder_of(n)) for n in BAD_MODELS}
    for name, place in places.items():
        argv = [word.replace(f"{{{name}}}", place) for word in argv]
    capsys.readouterr()
    with pytest.raises(UserError, match=message):
        main(argv)
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
