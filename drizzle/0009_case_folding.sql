-- fold() is the full case folding of Unicode 17 (CaseFolding.txt, statuses C and F), so ß is ss, also on databases without ICU.
-- It ignores normalization (D145 of the Unicode Standard), and its result is composed (NFC). As before, İ is i, however it was
-- composed.
DO $do$
DECLARE
  -- The C collation lower-cases only ASCII. PostgreSQL 17 and newer have pg_c_utf8 for all of Unicode; older versions have ICU.
  best CONSTANT text := (
    SELECT quote_ident(collname) FROM pg_collation
    WHERE collname IN ('pg_c_utf8', 'und-x-icu') AND collnamespace = 'pg_catalog'::regnamespace
    ORDER BY collname LIMIT 1
  );
  -- Letters without a decomposition, except Cherokee: the first, the last and the folding of the first. "/2" is every second.
  -- Their folding is not their lower case, or Unicode has them only since version 11, and old collations do not know them.
  special CONSTANT text := $$
    00B5>03BC 017F>0073 0345>03B9 03C2>03C3 03D0>03B2 03D1>03B8 03D5>03C6 03D6>03C0 03F0>03BA 03F1>03C1 03F5>03B5
    1C80>0432 1C81>0434 1C82>043E 1C83-1C84>0441 1C85>0442 1C86>044A 1C87>0463 1C88>A64B 1C89>1C8A 1C90-1CBA>10D0
    1CBD-1CBF>10FD 2C2F>2C5F A7B8-A7C2/2>A7B9 A7C4>A794 A7C5>0282 A7C6>1D8E A7C7-A7C9/2>A7C8 A7CB>0264
    A7CC-A7DA/2>A7CD A7DC>019B A7F5>A7F6 10570-1057A>10597 1057C-1058A>105A3 1058C-10592>105B3 10594-10595>105BB
    10D50-10D65>10D70 16E40-16E5F>16E60 16EA0-16EB8>16EBB
  $$;
  -- Their folding is their lower case.
  regular CONSTANT text := $$
    0041-005A>0061 00C6>00E6 00D0>00F0 00D8>00F8 00DE>00FE 0110>0111 0126>0127 0132>0133 013F-0141/2>0140 014A>014B
    0152>0153 0166>0167 0181>0253 0182-0184/2>0183 0186>0254 0187>0188 0189-018A>0256 018B>018C 018E>01DD 018F>0259
    0190>025B 0191>0192 0193>0260 0194>0263 0196>0269 0197>0268 0198>0199 019C>026F 019D>0272 019F>0275
    01A2-01A4/2>01A3 01A6>0280 01A7>01A8 01A9>0283 01AC>01AD 01AE>0288 01B1-01B2>028A 01B3-01B5/2>01B4 01B7>0292
    01B8>01B9 01BC>01BD 01C4>01C6 01C5>01C6 01C7>01C9 01C8>01C9 01CA>01CC 01CB>01CC 01E4>01E5 01F1>01F3 01F2>01F3
    01F6>0195 01F7>01BF 021C>021D 0220>019E 0222-0224/2>0223 023A>2C65 023B>023C 023D>019A 023E>2C66 0241>0242
    0243>0180 0244>0289 0245>028C 0246-024E/2>0247 0370-0372/2>0371 0376>0377 037F>03F3 0391-03A1>03B1 03A3-03A9>03C3
    03CF>03D7 03D8-03EE/2>03D9 03F4>03B8 03F7>03F8 03F9>03F2 03FA>03FB 03FD-03FF>037B 0402-0404/2>0452 0405-0406>0455
    0408-040B>0458 040F>045F 0410-0418>0430 041A-042F>043A 0460-0474/2>0461 0478-0480/2>0479 048A-04BE/2>048B
    04C0>04CF 04C3-04CD/2>04C4 04D4>04D5 04D8>04D9 04E0>04E1 04E8>04E9 04F6>04F7 04FA-052E/2>04FB 0531-0556>0561
    10A0-10C5>2D00 10C7>2D27 10CD>2D2D 1EFA-1EFE/2>1EFB 2132>214E 2160-216F>2170 2183>2184 24B6-24CF>24D0
    2C00-2C2E>2C30 2C60>2C61 2C62>026B 2C63>1D7D 2C64>027D 2C67-2C6B/2>2C68 2C6D>0251 2C6E>0271 2C6F>0250 2C70>0252
    2C72>2C73 2C75>2C76 2C7E-2C7F>023F 2C80-2CE2/2>2C81 2CEB-2CED/2>2CEC 2CF2>2CF3 A640-A66C/2>A641 A680-A69A/2>A681
    A722-A72E/2>A723 A732-A76E/2>A733 A779-A77B/2>A77A A77D>1D79 A77E-A786/2>A77F A78B>A78C A78D>0265
    A790-A792/2>A791 A796-A7A8/2>A797 A7AA>0266 A7AB>025C A7AC>0261 A7AD>026C A7AE>026A A7B0>029E A7B1>0287 A7B2>029D
    A7B3>AB53 A7B4-A7B6/2>A7B5 FF21-FF3A>FF41 10400-10427>10428 104B0-104D3>104D8 10C80-10CB2>10CC0 118A0-118BF>118C0
    1E900-1E921>1E922
  $$;
  -- Characters that have a place of their own among combining marks (canonical combining class).
  marks CONSTANT text := $$
    0300-036F 0483-0487 0591-05BD 05BF 05C1-05C2 05C4-05C5 05C7 0610-061A 064B-065F 0670 06D6-06DC 06DF-06E4
    06E7-06E8 06EA-06ED 0711 0730-074A 07EB-07F3 07FD 0816-0819 081B-0823 0825-0827 0829-082D 0859-085B 0898-089F
    08CA-08E1 08E3-08FF 093C 094D 0951-0954 09BC 09CD 09FE 0A3C-0A4D 0ABC 0ACD 0B3C 0B4D 0BCD 0C3C 0C4D-0C56 0CBC
    0CCD 0D3B-0D3C 0D4D 0DCA 0E38-0E3A 0E48-0E4B 0EB8-0EBA 0EC8-0ECB 0F18-0F19 0F35 0F37 0F39 0F71-0F84 0F86-0F87
    0FC6 1037-103A 108D 135D-135F 1714-1715 1734 17D2 17DD 18A9 1939-193B 1A17-1A18 1A60-1A7F 1AB0-1ACE 1B34-1B44
    1B6B-1B73 1BAA-1BAB 1BE6-1BF3 1C37 1CD0-1CD2 1CD4-1CE8 1CED 1CF4 1CF8-1CF9 1DC0-1DFF 20D0-20F0 2CEF-2CF1 2D7F
    2DE0-2DFF 302A-302F 3099-309A A66F A674-A67D A69E-A69F A6F0-A6F1 A806 A82C A8C4 A8E0-A8F1 A92B-A92D A953
    A9B3-A9C0 AAB0 AAB2-AAB4 AAB7-AAB8 AABE-AABF AAC1 AAF6 ABED FB1E FE20-FE2F 101FD 102E0 10376-1037A 10A0D-10A0F
    10A38-10A3F 10AE5-10AE6 10D24-10D27 10EAB-10EAC 10F46-10F50 10F82-10F85 11046 11070 1107F 110B9-110BA 11100-11102
    11133-11134 11173 111C0 111CA 11235-11236 112E9-112EA 1133B-1133C 1134D 11366-11374 11442-11446 1145E 114C2-114C3
    115BF-115C0 1163F 116B6-116B7 1172B 11839-1183A 1193D-1193E 11943 119E0 11A34 11A47 11A99 11C3F 11D42-11D45 11D97
    16AF0-16AF4 16B30-16B36 16FF0-16FF1 1BC9E 1D165-1D169 1D16D-1D172 1D17B-1D182 1D185-1D18B 1D1AA-1D1AD 1D242-1D244
    1E000-1E02A 1E130-1E136 1E2AE 1E2EC-1E2EF 1E8D0-1E8D6 1E944-1E94A
  $$;
  letters text[];
  foldings text[];
  mark text;
BEGIN
  -- By blocks of 256, since translate() compares each character with all letters of its list.
  SELECT array_agg(block.letters), array_agg(block.foldings) INTO letters, foldings
  FROM (
    SELECT string_agg(chr(first + index), '' ORDER BY index) AS letters, string_agg(chr(folding + index), '' ORDER BY index) AS foldings
    FROM
      regexp_matches(special || CASE WHEN best IS NULL THEN regular ELSE '' END, '(\w+)(?:-(\w+))?(?:/(2))?>(\w+)', 'g') AS row,
      LATERAL (
        SELECT ('x' || lpad(row[1], 8, '0'))::bit(32)::int AS first, ('x' || lpad(coalesce(row[2], row[1]), 8, '0'))::bit(32)::int AS last,
          coalesce(row[3], '1')::int AS step, ('x' || lpad(row[4], 8, '0'))::bit(32)::int AS folding
      ) AS range,
      generate_series(0, last - first, step) AS index
    GROUP BY (first + index) / 256
  ) AS block;
  SELECT '[' || string_agg(chr(first) || '-' || chr(last), '') || ']' INTO mark
  FROM
    regexp_matches(marks, '(\w+)(?:-(\w+))?', 'g') AS row,
    LATERAL (
      SELECT ('x' || lpad(row[1], 8, '0'))::bit(32)::int AS first, ('x' || lpad(coalesce(row[2], row[1]), 8, '0'))::bit(32)::int AS last
    ) AS range;
  EXECUTE format(
    $create$
      CREATE FUNCTION public.fold_rare(text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $fold$
      DECLARE
        -- PostgreSQL sorts combining marks in quadratic time, so a row of them is cut.
        folded text := normalize(
          CASE WHEN char_length($1) > 128 THEN regexp_replace($1 COLLATE "C", %1$L, '\1', 'g') ELSE $1 END, NFD);
      BEGIN
        IF char_length(folded) > 64 THEN
          -- Cut again, to the same length for all forms of a text: a composed letter may have brought one more mark.
          folded := regexp_replace(folded COLLATE "C", %8$L, '\1', 'g');
        END IF;
        IF folded COLLATE "C" ~ %2$L THEN
          DECLARE
            letters CONSTANT text[] := %3$L;
            foldings CONSTANT text[] := %4$L;
          BEGIN
            FOR block IN 1 .. cardinality(letters) LOOP
              IF folded COLLATE "C" ~ ('[' || letters[block] || ']') THEN
                folded := translate(folded, letters[block], foldings[block]);
              END IF;
            END LOOP;
          END;
        END IF;
        IF folded COLLATE "C" ~ '[ŉẚևﬀ-ﬆﬓ-ﬗ]' THEN
          folded := replace(replace(replace(folded, 'ŉ', 'ʼn'), 'ẚ', 'aʾ'), 'և', 'եւ');
          folded := replace(replace(replace(folded, 'ﬀ', 'ff'), 'ﬁ', 'fi'), 'ﬂ', 'fl');
          folded := replace(replace(replace(replace(folded, 'ﬃ', 'ffi'), 'ﬄ', 'ffl'), 'ﬅ', 'st'), 'ﬆ', 'st');
          folded := replace(replace(replace(folded, 'ﬓ', 'մն'), 'ﬔ', 'մե'), 'ﬕ', 'մի');
          folded := replace(replace(folded, 'ﬖ', 'վն'), 'ﬗ', 'մխ');
        END IF;
        -- ICU gives the lower case of Σ at the end of a word another form.
        folded := replace(replace(replace(lower(folded COLLATE %5$s), 'ß', 'ss'), 'ẞ', 'ss'), 'ς', 'σ');
        IF folded COLLATE "C" ~ '[\u13f8-\u13fd\uab70-\uabbf]' THEN
          -- Cherokee is folded to capital letters.
          folded := translate(folded, %6$L, %7$L);
        END IF;
        IF strpos(folded, 'i' || chr(775)) > 0 THEN
          folded := regexp_replace(folded COLLATE "C", 'i\u0307+', 'i', 'g');
        END IF;
        RETURN normalize(folded, NFC);
      END $fold$
    $create$,
    '(' || mark || '{128})' || mark || '+',
    '[' || array_to_string(letters, '') || ']', letters, foldings, coalesce(best, '"C"'),
    (SELECT string_agg(chr(code), '' ORDER BY code) FROM generate_series(x'AB70'::int, x'ABBF'::int) AS code) || 'ᏸᏹᏺᏻᏼᏽ',
    (SELECT string_agg(chr(code), '' ORDER BY code) FROM generate_series(x'13A0'::int, x'13F5'::int) AS code),
    '(' || mark || '{64})' || mark || '+'
  );
  -- Not STRICT, because PostgreSQL inlines no CASE of a strict function. A null still gives a null. Texts of common scripts whose
  -- characters are composed and stay so need no normalization, which takes most of the time.
  EXECUTE format(
    $create$
      CREATE OR REPLACE FUNCTION public.fold(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $fold$
        SELECT CASE
          WHEN octet_length($1) = char_length($1) THEN lower($1 COLLATE "C")
          %s
          ELSE public.fold_rare($1)
        END
      $fold$
    $create$,
    $$WHEN $1 COLLATE "C" !~ '[^\u0001-\u012f\u0131-\u0148\u014a-\u017e\u0180-\u02ff\u0388-\u03cf\u03d7-\u03ef\u03f6-\u0482\u048a-\u04ff\u1e00-\u1e99\u1e9c-\u1eff\u200d\u2010-\u2027\u20ac\u2190-\u21ff\u2500-\u27bf\u3000-\u3020\u3041-\u3096\u30a1-\u30fa\u30fc\u4e00-\u9fff\uac00-\ud7a3\ufe0f\uff01-\uff5e\U0001F300-\U0001FAFF]'
            THEN replace(replace(replace(lower($1 COLLATE $$ || best || $$), 'ß', 'ss'), 'ς', 'σ'), 'µ', 'μ') COLLATE "C"$$
  );
END $do$;
--> statement-breakpoint
DROP FUNCTION public.fold_case(text);--> statement-breakpoint
REINDEX INDEX "assignments_assignee_name_id_index";--> statement-breakpoint
REINDEX INDEX "assignments_creator_name_id_index";--> statement-breakpoint
UPDATE "assignment_search" SET "text" = fold("name") || '"' || fold("description") FROM "assignments"
WHERE "assignments"."id" = "assignment" AND "text" <> fold("name") || '"' || fold("description");
