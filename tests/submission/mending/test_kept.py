"""Mended files of the page are listed and deleted, but those that a job works on."""

from vccapp.settings import Settings
from vccapp.submission.mending.kept import delete_mended, list_mended, mended_folder


def test_they_are_listed_and_deleted_but_the_busy(settings: Settings) -> None:
    assert list_mended(settings) == [] and delete_mended(settings) == 0
    folder = mended_folder(settings)
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.h5ad").write_bytes(bytes(10 * (number + 1)))
    (folder / ".x.h5ad.part").write_bytes(b"of a job that writes now")
    assert sorted(size for _, size in list_mended(settings)) == [10, 20, 30]
    assert delete_mended(settings, busy={folder / "1.h5ad"}) == 40
    assert sorted(path.name for path in folder.iterdir()) == [".x.h5ad.part", "1.h5ad"]
