# SPDX-License-Identifier: MPL-2.0
"""Cuts a font down to ASCII with tabular digits: subset-font.py SOURCE.otf RESULT.otf"""

import sys
from fontTools import subset
from fontTools.ttLib import TTFont
src, dst = sys.argv[1:]
font = TTFont(src)
tnum = {}
gsub = font["GSUB"].table
for rec in gsub.FeatureList.FeatureRecord:
    if rec.FeatureTag == "tnum":
        for i in rec.Feature.LookupListIndex:
            for st in gsub.LookupList.Lookup[i].SubTable:
                st = getattr(st, "ExtSubTable", st)
                tnum.update(st.mapping)
for table in font["cmap"].tables:
    for code, glyph in list(table.cmap.items()):
        table.cmap[code] = tnum.get(glyph, glyph)
options = subset.Options(layout_features=[], hinting=False, name_IDs=["*"], notdef_outline=True, desubroutinize=True)
options.drop_tables += ["GSUB", "GPOS", "GDEF", "STAT", "DSIG", "meta"]
s = subset.Subsetter(options)
s.populate(unicodes=list(range(0x20, 0x7F)) + [0x2013])
s.subset(font)
font.save(dst)
