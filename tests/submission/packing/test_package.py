"""Our .vcc against the official packager's of the same cells, its bytes, and archives that are refused."""

import argparse
import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import zstandard
from refusals import refusal

from vccapp.data.h5ad import CsrWriter
from vccapp.errors import CheckError, ResourceError, Stopped
from vccapp.seasons.base import SEASONS
from vccapp.seasons.containers import CONTAINERS
from vccapp.submission.build import tell_archive
from vccapp.submission.packing.archive import read_meta, unpack_vcc
from vccapp.submission.packing.package import write_vcc

CHALLENGE = SEASONS["vcc2025"]
GENES = [f"G{i}" for i in range(50)]


@pytest.fixture(scope="module")
def h5ad(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "pred.h5ad"
    rng = np.random.default_rng(0)
    with CsrWriter(path, genes=GENES, pert_col="target_gene") as writer:
        for label, n in {"non-targeting": 30, "G3": 12, "G7+G9": 5}.items():
            counts = sp.csr_matrix(rng.poisson(0.7, (n, len(GENES))).astype(np.float32))
            writer.append(counts.multiply(0.37).log1p().tocsr(), label)
    return path


@pytest.fixture(scope="module")
def vcc(h5ad):
    return write_vcc(h5ad, h5ad.with_name("ours.vcc"), CHALLENGE)


def read_officially(path, folder) -> ad.AnnData:
    """As the official readers do: tar, zstd, anndata."""
    folder.mkdir()
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["pred.h5ad.zst", "watermark.txt"]
        assert archive.extractfile("watermark.txt").read() == b"vcc-prep"
        with archive.extractfile("pred.h5ad.zst") as frame, (folder / "pred.h5ad").open("wb") as out:
            zstandard.ZstdDecompressor().copy_stream(frame, out)
    return ad.read_h5ad(folder / "pred.h5ad")


@pytest.fixture(scope="module")
def official(h5ad, vcc):
    """The official package of the h5ad that is inside ours."""
    prep = pytest.importorskip("cell_eval._cli._prep", reason="cell-eval is not installed")
    if not (shutil.which("zstd") and shutil.which("tar")):
        pytest.skip("the official packager needs the programs zstd and tar, which are not installed")
    folder = h5ad.parent
    inside = unpack_vcc(vcc.path, folder / "inside.h5ad", CHALLENGE)
    (folder / "genes.csv").write_text("\n".join(GENES) + "\n")
    parser = argparse.ArgumentParser()
    prep.parse_args_prep(parser)
    out = folder / "official.vcc"
    prep.run_prep(parser.parse_args(["-i", str(inside), "-g", str(folder / "genes.csv"), "-o", str(out)]))
    return out


@pytest.mark.official
def test_official_packager_accepts_it_and_makes_the_same(official, vcc, tmp_path):
    ours, theirs = read_officially(vcc.path, tmp_path / "ours"), read_officially(official, tmp_path / "theirs")
    assert ours.X.format == theirs.X.format == "csr"
    assert ours.X.dtype == theirs.X.dtype
    assert (ours.X != theirs.X).nnz == 0
    assert np.array_equal(ours.X.data, theirs.X.data)
    assert ours.obs.equals(theirs.obs)
    assert ours.var_names.tolist() == theirs.var_names.tolist() == GENES
    assert (list(ours.uns), list(ours.layers), list(ours.obsm)) == ([], [], [])


@pytest.mark.official
def test_we_read_the_official_package(official, tmp_path):
    theirs = ad.read_h5ad(unpack_vcc(official, tmp_path / "pred.h5ad", CHALLENGE))
    assert theirs.n_obs == 47


def test_we_read_a_real_package_of_the_season(shared, tmp_path):
    path = shared / "vcc2025_submission_example" / "my_first_submission.vcc"
    assert ad.read_h5ad(unpack_vcc(path, tmp_path / "pred.h5ad", CHALLENGE)).shape == (51, 18_080)


def test_programs_tar_and_zstd_read_it(vcc, tmp_path):
    if not (shutil.which("zstd") and shutil.which("tar")):
        pytest.skip("the programs zstd and tar are not installed")
    subprocess.run(["tar", "-xf", vcc.path, "-C", tmp_path], check=True)
    subprocess.run(["zstd", "-q", "-d", tmp_path / "pred.h5ad.zst"], check=True)
    assert hashlib.sha256((tmp_path / "pred.h5ad").read_bytes()).hexdigest() == vcc.h5ad_sha256


def test_same_input_same_bytes(h5ad, vcc, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    again = write_vcc(h5ad, tmp_path / "again.vcc", CHALLENGE)
    assert again.path.read_bytes() == vcc.path.read_bytes()
    assert again.sha256 == vcc.sha256 == hashlib.sha256(vcc.path.read_bytes()).hexdigest()


def test_headers_tell_nothing_of_the_machine(vcc):
    with tarfile.open(vcc.path) as archive:
        for member in archive:
            assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
    assert vcc.size == vcc.path.stat().st_size
    assert vcc.size % tarfile.RECORDSIZE == 0


def test_round_trip(h5ad, vcc, tmp_path):
    assert unpack_vcc(vcc.path, tmp_path / "x.h5ad", CHALLENGE).read_bytes() == h5ad.read_bytes()


def test_nothing_is_left_when_stopped(h5ad, vcc, tmp_path):
    def stop(fraction, message=""):
        if fraction > 0.5:
            raise Stopped

    for work in (
        lambda: write_vcc(h5ad, tmp_path / "x.vcc", CHALLENGE, progress=stop),
        lambda: unpack_vcc(vcc.path, tmp_path / "x.h5ad", CHALLENGE, progress=stop),
    ):
        with pytest.raises(Stopped):
            work()
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_said_before(h5ad, vcc, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: shutil._ntuple_diskusage(10, 0, 10))
    with refusal(ResourceError, "disk"):
        write_vcc(h5ad, tmp_path / "x.vcc", CHALLENGE)
    with refusal(ResourceError, "disk"):
        unpack_vcc(vcc.path, tmp_path / "x.h5ad", CHALLENGE)
    assert list(tmp_path.iterdir()) == []


def test_a_faulty_disk_is_noticed(h5ad, tmp_path, monkeypatch):
    from vccapp.submission.packing import package

    def write_wrongly(h5ad, archive, season, members, *, progress):
        original(h5ad, archive, season, members, progress=progress)
        return hashlib.sha256(b"something else").hexdigest()

    original = package._write_archive
    monkeypatch.setattr(package, "_write_archive", write_wrongly)
    with refusal(CheckError, "read_back"):
        write_vcc(h5ad, tmp_path / "x.vcc", CHALLENGE)
    assert list(tmp_path.iterdir()) == []


def tar(*members: tuple[str, bytes], mode: str = "w", kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), kind
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


FRAME = zstandard.ZstdCompressor(write_checksum=True).compress(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 4000)
CHANGED = FRAME[:-2] + bytes([FRAME[-2] ^ 1]) + FRAME[-1:]
UNSIZED = zstandard.ZstdCompressor(write_content_size=False).compress(b"h5ad")
MARK = ("watermark.txt", b"vcc-prep")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a complete, uncompressed tar archive"),
        (b"text", "not a complete, uncompressed tar"),
        (b"PK\x03\x04" + bytes(600), "not a complete, uncompressed tar"),
        (tar(("pred.h5ad.zst", FRAME), MARK, mode="w:gz"), "not a complete, uncompressed tar"),
        (tar(), "holds nothing"),
        (tar(("pred.h5ad.zst", FRAME)), "holds pred.h5ad.zst; a .vcc holds the two plain files"),
        (tar(("pred.h5ad", b"x"), MARK), "holds pred.h5ad, watermark.txt"),
        (tar(("pred.h5ad.zst", FRAME), MARK, ("more", b"")), "nothing else"),
        (tar(("pred.h5ad.zst", FRAME), ("pred.h5ad.zst", FRAME), MARK), "nothing else"),
        (tar(("../pred.h5ad.zst", FRAME), MARK), "nothing else"),
        (tar(("/tmp/pred.h5ad.zst", FRAME), MARK), "nothing else"),
        (tar(("pred.h5ad.zst", b""), ("watermark.txt", b""), kind=tarfile.SYMTYPE), "two plain files"),
        (tar(("pred.h5ad.zst", FRAME), ("watermark.txt", b"vcc-prep\n")), r"is b'vcc-prep\\n', not b'vcc-prep'"),
        (tar(("pred.h5ad.zst", b"\x89HDF" + bytes(99)), MARK), "not compressed with zstd"),
        (tar(("pred.h5ad.zst", FRAME[:-9]), MARK), "ends after|damaged"),
        (tar(("pred.h5ad.zst", CHANGED), MARK), "damaged"),
        (tar(("pred.h5ad.zst", UNSIZED), MARK), "unknown number"),
        (tar(("pred.h5ad.zst", FRAME), MARK)[:700], "complete|ends after|holds"),
    ],
)
def test_refused(tmp_path, content, says):
    path = tmp_path / "bad.vcc"
    path.write_bytes(content)
    with pytest.raises(CheckError, match=says) as error:
        unpack_vcc(path, tmp_path / "out.h5ad", CHALLENGE)
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.vcc"]


def test_absent(tmp_path):
    with refusal(CheckError, "file_missing"):
        unpack_vcc(tmp_path / "absent.vcc", tmp_path / "out.h5ad", CHALLENGE)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """200 MB that hardly compress, written, verified and unpacked within 0.3 GB."""
    program = f"""
from pathlib import Path
import numpy as np
from vccapp.seasons.base import SEASONS
from vccapp.seasons.containers import CONTAINERS
from vccapp.submission.packing.archive import read_meta, unpack_vcc
from vccapp.submission.packing.package import write_vcc
folder = Path({str(tmp_path)!r})
rng = np.random.default_rng(0)
with (folder / "big").open("wb") as file:
    file.write(b"\\x89HDF\\r\\n\\x1a\\n")
    for _ in range(50):
        file.write(rng.bytes(4_000_000))
write_vcc(folder / "big", folder / "big.vcc", SEASONS["vcc2025"])
unpack_vcc(folder / "big.vcc", folder / "out", SEASONS["vcc2025"])
print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 300e6


def unpacked(size: int) -> bytes:
    """A frame of zeros of that many bytes after the signature, of unknown size where size is negative."""
    compressor = zstandard.ZstdCompressor(write_content_size=size > 0, write_checksum=True)
    return compressor.compress(b"\x89HDF\r\n\x1a\n" + bytes(abs(size)))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (tar(("pred.h5ad.zst", unpacked(-200_000_000)), MARK), "frame_size"),
        (tar(("pred.h5ad.zst", unpacked(200_000_000)), MARK), "frame_size"),
        (tar(("pred.h5ad.zst", zstandard.compress(b"PK" * 4000)), MARK), "not_hdf5"),
        (tar(("pred\x1b[2J\n.zst", FRAME), MARK), "archive_members"),
        (tar(("x" * 5000, FRAME), MARK), "archive_members"),
    ],
)
def test_bombs_and_odd_names_write_nothing(tmp_path, monkeypatch, content, code):
    written = []
    monkeypatch.setattr("vccapp.submission.packing.archive.BLOCK", 2**16)
    monkeypatch.setattr("vccapp.submission.packing.archive.write_file", spy_on(written))
    path = tmp_path / "bad.vcc"
    path.write_bytes(content)
    with pytest.raises(CheckError) as error:
        unpack_vcc(path, tmp_path / "out.h5ad", CHALLENGE)
    assert error.value.code == code
    assert written == [0]
    assert len(str(error.value)) < 300 and str(error.value).isprintable()


def spy_on(written):
    """`write_file` that keeps how many bytes were in the file in the end."""
    from vccapp.data.atomic import write_file

    @contextlib.contextmanager
    def spied(path):
        with write_file(path) as beside:
            try:
                yield beside
            finally:
                written.append(beside.stat().st_size)

    return spied


@pytest.mark.parametrize("size", [2**62, 3 * 10**9, -1])
def test_a_header_that_declares_too_much_is_refused(tmp_path, size):
    info = tarfile.TarInfo("pred.h5ad.zst")
    info.size = 100
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "bad.vcc").write_bytes(bytes(header) + bytes(4096))
    with refusal(CheckError, "archive_header"):
        unpack_vcc(tmp_path / "bad.vcc", tmp_path / "out.h5ad", CHALLENGE)


def test_a_long_name_in_a_sparse_file_is_not_read(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 3 * 10**9
    with (tmp_path / "bad.vcc").open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(4 * 10**9)
    with refusal(CheckError, "archive_header"):
        unpack_vcc(tmp_path / "bad.vcc", tmp_path / "out.h5ad", CHALLENGE)


def test_what_is_no_plain_file_is_a_sentence(tmp_path):
    (tmp_path / "folder.vcc").mkdir()
    os.mkfifo(tmp_path / "pipe.vcc")
    (tmp_path / "loop.vcc").symlink_to(tmp_path / "loop.vcc")
    codes = {"folder": "not_a_file", "pipe": "not_a_file", "loop": "file_unreadable", "x" * 300: "file_unreadable"}
    for name, code in codes.items():
        with refusal(CheckError, code):
            unpack_vcc(tmp_path / f"{name}.vcc", tmp_path / "out.h5ad", CHALLENGE)


def write_2026(path, *, contexts=("A", "B")):
    """A small file of counts in contexts, as a submission of 2026 has it."""
    rng = np.random.default_rng(1)
    with CsrWriter(path, genes=GENES, pert_col="target_gene", context_col="context") as writer:
        for context in contexts:
            for label in ("G7", "G3"):
                writer.append(sp.csr_matrix(rng.poisson(0.7, (6, len(GENES))).astype(np.float32)), label, context)
    return path


def test_container_of_2026_describes_its_content(tmp_path):
    season = SEASONS["vcc2026"]
    h5ad = write_2026(tmp_path / "pred.h5ad")
    package = write_vcc(h5ad, tmp_path / "ours.vcc", season, panel_id="p1")
    with tarfile.open(package.path) as archive:
        assert archive.getnames() == ["meta.json", "pred.h5ad.zst"]
    cells = ad.read_h5ad(unpack_vcc(package.path, tmp_path / "inside.h5ad", season))
    fingerprint = hashlib.sha256(b"G3\nG7").hexdigest()
    assert read_meta(package.path, season) == {
        "schema": 1,
        "cli_version": "0.3.0",
        "contexts": ["A", "B"],
        "n_obs": 24,
        "n_vars": len(GENES),
        "nnz": cells.X.nnz,
        "perts_fingerprint": f"sha256:{fingerprint}",
        "panel_id": "p1",
    }
    assert (tmp_path / "inside.h5ad").read_bytes() == h5ad.read_bytes()


@pytest.mark.parametrize(
    ("meta", "code"), [(b"[1]", "archive_meta"), (b"{" * 10, "archive_meta"), (b" " * 70_000, "archive_meta")]
)
def test_meta_that_nobody_reads_is_refused(tmp_path, meta, code):
    path = tmp_path / "bad.vcc"
    path.write_bytes(tar(("meta.json", meta), ("pred.h5ad.zst", FRAME)))
    with refusal(CheckError, code):
        read_meta(path, SEASONS["vcc2026"])


def test_archive_of_2026_may_lack_meta_and_the_size_of_its_frame(tmp_path):
    season = SEASONS["vcc2026"]
    h5ad = write_2026(tmp_path / "pred.h5ad").read_bytes()
    path = tmp_path / "older.vcc"
    path.write_bytes(tar(("pred.h5ad.zst", zstandard.ZstdCompressor(write_content_size=False).compress(h5ad))))
    assert unpack_vcc(path, tmp_path / "out.h5ad", season).read_bytes() == h5ad
    assert read_meta(path, season) is None


def test_bare_container_is_the_h5ad(h5ad, tmp_path):
    season = CHALLENGE.model_copy(update={"container": CONTAINERS["h5ad"]})
    package = write_vcc(h5ad, tmp_path / "out.h5ad", season)
    assert package.path.read_bytes() == h5ad.read_bytes()
    assert package.sha256 == package.h5ad_sha256 == hashlib.sha256(h5ad.read_bytes()).hexdigest()


def test_meta_of_other_cells_is_told(tmp_path):
    season = SEASONS["vcc2026"]
    whole = write_vcc(write_2026(tmp_path / "whole.h5ad"), tmp_path / "whole.vcc", season)
    other = write_vcc(write_2026(tmp_path / "other.h5ad", contexts=("A",)), tmp_path / "other.vcc", season)
    assert tell_archive(whole.path, tmp_path / "whole.h5ad", season).status == "ok"
    result = tell_archive(other.path, tmp_path / "whole.h5ad", season)
    assert result.status == "failed"
    assert "n_obs 12" in result.message and "n_obs 24" in result.message
