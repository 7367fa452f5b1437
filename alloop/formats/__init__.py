"""Labels in the formats of others: COCO, YOLO and Pascal VOC in, COCO, YOLO and CSV out; one file per format and direction.

Libraries that read and write all of these were tried (2026-11) and none fits: supervision turns outlines into masks and
back and needs a video decoder, datumaro pins opencv-python-headless below 5 and brings pandas and lxml, globox drops
outlines, pylabel needs opencv, fiftyone a database; labelformat is light and keeps outlines, but skips lines that it cannot
read with a log message, measures images without their EXIF orientation, and writes COCO without annotation ids, which
pycocotools cannot open. pycocotools itself warns under numpy 2.4 for each mask it decodes. So ijson streams the JSON,
PyYAML and defusedxml read what they are named after, scikit-image finds the outlines of masks, and the plain rest is here.
"""
