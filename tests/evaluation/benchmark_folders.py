"""Tiny datasets in the layout of published benchmarks: one disc that moves right and is absent on frame 3."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samurai_batch import storage
from samurai_batch.geometry import mask_box_xyxy
from samurai_batch.masks import MaskRow, encode_mask, mask_table_uri, rows_to_table, table_to_bytes

HEIGHT, WIDTH, NUM_FRAMES, GONE = 48, 64, 6, 3
Mask = NDArray[np.bool_]


def disc(frame_index: int, row: int = 16) -> Mask:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    found: Mask = (y - row) ** 2 + (x - 12 - 6 * frame_index) ** 2 < 64
    return found if frame_index != GONE else np.zeros_like(found)


def boxes(frames: range = range(NUM_FRAMES)) -> list[tuple[float, float, float, float]]:
    corners = [mask_box_xyxy(disc(index)) or (0.0, 0.0, 0.0, 0.0) for index in frames]
    return [(left, top, right - left, bottom - top) for left, top, right, bottom in corners]


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_png(path: Path, values: NDArray[np.uint8], palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image.putpalette(bytes(range(256)) * 3)
    image.save(path)


def write_frames(folder: Path, first: int = 0, count: int = NUM_FRAMES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{index + first:05d}.jpg")


def comma_lines(rows: list[tuple[float, float, float, float]], separator: str = ",") -> str:
    return "".join(separator.join(f"{value:g}" for value in row) + "\n" for row in rows)


def davis16(root: Path) -> None:
    for name in ("bear", "swan", "unlisted"):
        write_frames(root / "JPEGImages/480p" / name)
        for index in range(NUM_FRAMES):
            values = disc(index).astype(np.uint8) * 255
            write_png(root / f"Annotations/480p/{name}/{index:05d}.png", values)
    lines = "/JPEGImages/480p/{0}/00000.jpg /Annotations/480p/{0}/00000.png\n"
    write_text(root / "ImageSets/480p/val.txt", lines.format("bear") + lines.format("swan"))


def davis17(root: Path) -> None:
    write_frames(root / "JPEGImages/480p/pair")
    for index in range(NUM_FRAMES):
        values = disc(index).astype(np.uint8)
        values[disc(index, row=36)] = 2
        values[:, -4:] = 255
        write_png(root / f"Annotations/480p/pair/{index:05d}.png", values, palette=True)
    write_text(root / "ImageSets/2017/val.txt", "pair\n")


def sav(root: Path) -> None:
    write_frames(root / "JPEGImages_24fps/sav_1", count=4 * NUM_FRAMES)
    for number, row in enumerate((16, 36)):
        for index in range(NUM_FRAMES):
            path = root / f"Annotations_6fps/sav_1/{number:03d}/{4 * index:05d}.png"
            write_png(path, disc(index, row).astype(np.uint8))


def lasot(root: Path) -> None:
    for name in ("cat-1", "cat-2"):
        write_frames(root / "cat" / name / "img", first=1)
        write_text(root / "cat" / name / "groundtruth.txt", comma_lines(boxes()))
        write_text(root / "cat" / name / "full_occlusion.txt", "0,0,0,0,0,0")
        write_text(root / "cat" / name / "out_of_view.txt", "0,0,0,1,0,0")
    write_text(root / "testing_set.txt", "cat-1\n")


def got10k(root: Path) -> None:
    folder = root / "GOT-10k_Val_000001"
    write_frames(folder, first=1)
    write_text(folder / "groundtruth.txt", comma_lines(boxes()))
    write_text(folder / "cover.label", "8\n8\n8\n0\n8\n8\n")


def trackingnet(root: Path) -> None:
    write_frames(root / "frames/abc")
    write_text(root / "anno/abc.txt", comma_lines(boxes()[:1]))


def otb(root: Path) -> None:
    write_frames(root / "David/img", first=1, count=305)
    write_text(root / "David/groundtruth_rect.txt", comma_lines(boxes(range(6)), "\t"))
    write_frames(root / "Jogging/img", first=1)
    for number in (1, 2):
        write_text(root / f"Jogging/groundtruth_rect.{number}.txt", comma_lines(boxes()))


def nfs(root: Path) -> None:
    write_frames(root / "bird/30/bird", first=1)
    lines = []
    for index in range(8 * NUM_FRAMES):
        left, top, width, height = boxes()[index // 8]
        lost = int(index // 8 == GONE)
        lines.append(f'0 {left:g} {top:g} {left + width:g} {top + height:g} {index} {lost} 0 0 "bird"\n')
    write_text(root / "bird/30/bird.txt", "".join(lines))


def mot_boxes(row: int) -> list[tuple[float, float, float, float]]:
    """Pixels count from 1 there."""
    corners = [mask_box_xyxy(disc(index, row)) for index in range(NUM_FRAMES)]
    return [(box[0] + 1, box[1] + 1, box[2] - box[0], box[3] - box[1]) if box else (0, 0, 0, 0) for box in corners]


def seqinfo(folder: Path, name: str) -> None:
    lines = f"[Sequence]\nname={name}\nimDir=img1\nframeRate=10\nseqLength={NUM_FRAMES}\n"
    write_text(folder / "seqinfo.ini", lines + f"imWidth={WIDTH}\nimHeight={HEIGHT}\nimExt=.jpg\n")


def mot(root: Path) -> None:
    """Objects 1 and 2 (pedestrians), 3 (a reflection, a distractor), 4 (a car), 5 (a pedestrian who does not count)."""
    folder = root / "train/MOT17-01"
    seqinfo(folder, "MOT17-01")
    write_frames(folder / "img1", first=1)
    lines = []
    for object_id, row, counts, kind in ((1, 8, 1, 1), (2, 40, 1, 1), (3, 24, 0, 12), (4, 24, 0, 3), (5, 36, 0, 1)):
        for index, (left, top, width, height) in enumerate(mot_boxes(row)):
            if width and (object_id, index) != (2, 0):
                left += 40 * (object_id == 4)
                lines.append(f"{index + 1},{object_id},{left:g},{top:g},{width:g},{height:g},{counts},{kind},1\n")
    write_text(folder / "gt/gt.txt", "".join(lines))


def mots(root: Path) -> None:
    """Objects 2001 and 2002, and a region to ignore at the lower edge."""
    folder = root / "MOTS20-02"
    seqinfo(folder, "MOTS20-02")
    write_frames(folder / "img1", first=1)
    ignored = np.zeros((HEIGHT, WIDTH), np.bool_)
    ignored[44:, :32] = True
    lines = []
    for index in range(NUM_FRAMES):
        found = [(2001, 2, disc(index, 8)), (2002, 2, disc(index, 30)), (10000, 10, ignored)]
        for object_id, kind, mask in found:
            rle = encode_mask(mask)
            if rle is not None:
                lines.append(f"{index + 1} {object_id} {kind} {HEIGHT} {WIDTH} {rle.counts}\n")
    write_text(folder / "gt/gt.txt", "".join(lines))


def youtube_vis(root: Path) -> None:
    """One object as uncompressed run lengths, one as a polygon; every other picture is annotated."""
    write_frames(root / "JPEGImages/zoo", count=NUM_FRAMES)
    annotated = range(0, NUM_FRAMES, 2)
    runs: list[dict[str, object] | None] = []
    for index in annotated:
        column_major = disc(index, 8).flatten(order="F").astype(int)
        changes = np.flatnonzero(np.diff(column_major, prepend=0))
        counts = np.diff(changes, prepend=0, append=HEIGHT * WIDTH).tolist()
        runs.append({"size": [HEIGHT, WIDTH], "counts": counts} if column_major.any() else None)
    polygons = [[[4.0, 30.0, 20.0, 30.0, 20.0, 44.0, 4.0, 44.0]] for _ in annotated]
    size = {"height": HEIGHT, "width": WIDTH, "length": len(annotated)}
    annotations = [
        {"id": number, "video_id": 7, "category_id": 1, "iscrowd": 0, "segmentations": shapes, **size}
        for number, shapes in ((11, runs), (12, polygons))
    ]
    names = [f"zoo/{index:05d}.jpg" for index in annotated]
    videos = [{"id": 7, "file_names": names, **size}]
    write_text(root / "instances.json", json.dumps({"videos": videos, "annotations": annotations, "categories": []}))


def write_track(output: str, video_id: str, object_id: str, masks: list[Mask], start: int = 0) -> None:
    """Write a mask table with these masks on the frames from ``start`` on."""
    rows = [
        MaskRow(
            video_id=video_id,
            object_id=object_id,
            frame_index=start + index,
            timestamp_s=(start + index) / 25,
            height=HEIGHT,
            width=WIDTH,
            segmentation=encode_mask(mask),
            mask_score=0.9,
            object_score=3.0 if mask.any() else -3.0,
            motion_score=0.8 if index else None,
            mask_index=0,
            prompted=index == 0,
        )
        for index, mask in enumerate(masks)
    ]
    data = table_to_bytes(rows_to_table(rows), {"run_id": "r"})
    storage.write_bytes(mask_table_uri(output, video_id, object_id), data)
