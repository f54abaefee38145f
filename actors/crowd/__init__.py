"""The crowd domain (群集情報生成・取得系): turns pictures into counts and keeps none.

Names are imported from the modules themselves: whoever needs only ``messages`` does not load a
model's runtime.
"""
