-- fold() has one result on all versions of PostgreSQL. Its collations differ in İ, which ICU turns into two characters, and
-- in the letters of the Unicode versions after the one that they know. Those pairs are replaced first, so all agree on the rest.
DO $$
DECLARE
  best text := (
    SELECT quote_ident(collname) FROM pg_collation
    WHERE collname IN ('pg_c_utf8', 'und-x-icu') AND collnamespace = 'pg_catalog'::regnamespace
    ORDER BY collname LIMIT 1
  );
  upper_case text;
  lower_case text;
BEGIN
  SELECT string_agg(chr(code), '' ORDER BY code), string_agg(chr(code - first + lower_first), '' ORDER BY code)
  INTO upper_case, lower_case
  FROM (VALUES
    -- The first capital letter, the last one, and the small letter of the first.
    (x'0130'::int, x'0130'::int, x'0069'::int),
    -- Unicode 11: Georgian, Latin, Medefaidrin.
    (x'1C90'::int, x'1CBA'::int, x'10D0'::int),
    (x'1CBD'::int, x'1CBF'::int, x'10FD'::int),
    (x'A7B8'::int, x'A7B8'::int, x'A7B9'::int),
    (x'16E40'::int, x'16E5F'::int, x'16E60'::int),
    -- Unicode 12 and 13: Latin.
    (x'A7BA'::int, x'A7BA'::int, x'A7BB'::int),
    (x'A7BC'::int, x'A7BC'::int, x'A7BD'::int),
    (x'A7BE'::int, x'A7BE'::int, x'A7BF'::int),
    (x'A7C2'::int, x'A7C2'::int, x'A7C3'::int),
    (x'A7C4'::int, x'A7C4'::int, x'A794'::int),
    (x'A7C5'::int, x'A7C5'::int, x'0282'::int),
    (x'A7C6'::int, x'A7C6'::int, x'1D8E'::int),
    (x'A7C7'::int, x'A7C7'::int, x'A7C8'::int),
    (x'A7C9'::int, x'A7C9'::int, x'A7CA'::int),
    (x'A7F5'::int, x'A7F5'::int, x'A7F6'::int),
    -- Unicode 14: Glagolitic, Latin, Vithkuqi.
    (x'2C2F'::int, x'2C2F'::int, x'2C5F'::int),
    (x'A7C0'::int, x'A7C0'::int, x'A7C1'::int),
    (x'A7D0'::int, x'A7D0'::int, x'A7D1'::int),
    (x'A7D6'::int, x'A7D6'::int, x'A7D7'::int),
    (x'A7D8'::int, x'A7D8'::int, x'A7D9'::int),
    (x'10570'::int, x'1057A'::int, x'10597'::int),
    (x'1057C'::int, x'1058A'::int, x'105A3'::int),
    (x'1058C'::int, x'10592'::int, x'105B3'::int),
    (x'10594'::int, x'10595'::int, x'105BB'::int),
    -- Unicode 16: Cyrillic, Latin, Garay.
    (x'1C89'::int, x'1C89'::int, x'1C8A'::int),
    (x'A7CB'::int, x'A7CB'::int, x'0264'::int),
    (x'A7CC'::int, x'A7CC'::int, x'A7CD'::int),
    (x'A7DA'::int, x'A7DA'::int, x'A7DB'::int),
    (x'A7DC'::int, x'A7DC'::int, x'019B'::int),
    (x'10D50'::int, x'10D65'::int, x'10D70'::int),
    -- Unicode 17: Latin, Beria Erfe.
    (x'A7CE'::int, x'A7CE'::int, x'A7CF'::int),
    (x'A7D2'::int, x'A7D2'::int, x'A7D3'::int),
    (x'A7D4'::int, x'A7D4'::int, x'A7D5'::int),
    (x'16EA0'::int, x'16EB8'::int, x'16EBB'::int)
  ) AS pairs (first, last, lower_first), generate_series(first, last) AS code;
  -- Not STRICT, because PostgreSQL inlines no CASE of a strict function. A null still gives a null.
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION fold(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $fold$
      SELECT replace(
        lower(
          -- translate() compares each character with all letters of its list, so it runs only for texts that have one.
          CASE WHEN octet_length($1) > char_length($1) AND ($1 COLLATE "C") ~ %2$L THEN translate($1, %3$L, %4$L) ELSE $1 END
          COLLATE %1$s
        ),
        -- The final sigma must not differ from others, or a search would miss it.
        ''ς'', ''σ''
      )
    $fold$',
    coalesce(best, '"default"'), '[' || upper_case || ']', upper_case, lower_case
  );
END $$;
--> statement-breakpoint
REINDEX INDEX "assignments_assignee_name_id_index";--> statement-breakpoint
REINDEX INDEX "assignments_creator_name_id_index";--> statement-breakpoint
UPDATE "assignment_search" SET "text" = fold("name") || '"' || fold("description") FROM "assignments"
WHERE "assignments"."id" = "assignment" AND "text" <> fold("name") || '"' || fold("description");
