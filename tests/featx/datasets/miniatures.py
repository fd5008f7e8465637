"""Data sets of a few blank pictures each, in their true on-disk layouts."""

import tarfile
import zipfile

import numpy as np
import scipy.io
from PIL import Image


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), shade).save(path, "JPEG")


def pictures(folder, *names):
    for shade, name in enumerate(names):
        picture(folder / name, shade)
    return folder


def pack(folder, kind):
    """Return the folder itself, or a .zip or .tar of it beside it."""
    if kind == "folder":
        return folder
    target = folder.with_suffix(f".{kind}")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if kind == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path in files:
                archive.write(path, path.relative_to(folder.parent))
    else:
        with tarfile.open(target, "w") as archive:
            for path in files:
                archive.add(path, f"./{path.relative_to(folder.parent)}")
    for path in files:
        path.unlink()
    return target


def cells(values):
    array = np.empty((1, len(values)), object)
    array[0] = values
    return array


def matlab_serial(year, month, day):
    """Return MATLAB's datenum of a date, from the number that its documentation gives.

    datenum(2000, 1, 1) is 730486.
    """
    days = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}") - np.datetime64("2000-01-01")
    return float(730486 + days.astype(int))


def imdb_wiki(folder, dataset, rows):
    """Write ``imdb.mat`` or ``wiki.mat`` and the pictures that exist.

    `rows` are dicts with path, dob (serial), taken (year), gender, score, second, name and, for
    imdb, celeb (its number, from 1).
    """
    fields = {
        "dob": [row["dob"] for row in rows],
        "photo_taken": [row["taken"] for row in rows],
        "full_path": cells([row["path"] for row in rows]),
        "gender": [row["gender"] for row in rows],
        "name": cells([row["name"] for row in rows]),
        "face_location": cells([np.array([[1.0, 2.0, 30.0, 40.0]]) for _ in rows]),
        "face_score": [row["score"] for row in rows],
        "second_face_score": [row["second"] for row in rows],
    }
    record = {
        key: np.array([value], float) if isinstance(value, list) else value
        for key, value in fields.items()
    }
    record["dob"] = record["dob"].astype(np.int32)
    record["photo_taken"] = record["photo_taken"].astype(np.uint16)
    if dataset == "imdb":
        names = {row["celeb"]: row["name"] for row in rows}
        record["celeb_names"] = cells([names.get(n, "?") for n in range(1, max(names) + 1)])
        record["celeb_id"] = np.array([[row["celeb"] for row in rows]], np.uint16)
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / f"{dataset}.mat", {dataset: record})
    for row in rows:
        picture(folder / row["path"])
    return folder


ADIENCE_HEADER = (
    "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy"
    "\ttilt_ang\tfiducial_yaw_angle\tfiducial_score\n"
)


def adience(folder, rows, prefix="fold"):
    """Write fold files and pictures; `rows` are (fold, user, picture, face, age, gender)."""
    lines = {str(fold): [ADIENCE_HEADER] for fold in range(5)}
    for fold, user, name, face, age, gender in rows:
        box = "0\t414\t1086\t1383\t-115\t30\t17"
        lines[fold].append(f"{user}\t{name}\t{face}\t{age}\t{gender}\t{box}\n")
        picture(folder / "aligned" / user / f"landmark_aligned_face.{face}.{name}")
    for fold, text in lines.items():
        (folder / f"{prefix}_{fold}_data.txt").write_text("".join(text))
    return folder


def appa_real(folder, parts):
    """Write the release's tables and pictures; `parts` maps a part to (name, real, apparent)."""
    for part, rows in parts.items():
        text = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
        for name, real, apparent in rows:
            text += f"{name},38,{apparent},4.1,{real}\n"
            picture(folder / part / name)
            picture(folder / part / f"{name}_face.jpg")
        (folder / f"gt_avg_{part}.csv").write_text(text)
    return folder
