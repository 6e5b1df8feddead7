-- fold() ignores Unicode normalization: what it was before becomes fold_case(). Functions that others call are named with their
-- schema, because autovacuum and pg_restore compute indexes without a search path.
DO $$
BEGIN
  EXECUTE format(
    'CREATE FUNCTION public.fold_case(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',
    (SELECT prosrc FROM pg_proc WHERE oid = 'fold(text)'::regprocedure)
  );
END $$;
--> statement-breakpoint
-- Not STRICT, because PostgreSQL inlines no CASE of a strict function. A null still gives a null. normalize() takes fifteen times
-- as long as everything else, so it runs only for texts with other characters than ASCII's, or those of common scripts that
-- are always composed and stay so in lower case. The lower case of İ is i, however it was composed.
CREATE OR REPLACE FUNCTION fold(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN octet_length($1) = char_length($1) THEN lower($1 COLLATE "C")
    WHEN $1 COLLATE "C" !~ '[^\u0001-\u012f\u0131-\u02ff\u0388-\u0482\u048a-\u04ff\u1e00-\u1eff\u200d\u2010-\u2027\u20ac\u2190-\u21ff\u2500-\u27bf\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3\ufe0f\U0001F300-\U0001FAFF]'
      THEN public.fold_case($1)
    ELSE normalize(replace(public.fold_case(normalize($1, NFC)), 'i' || chr(775), 'i'), NFC)
  END
$$;
--> statement-breakpoint
REINDEX INDEX "assignments_assignee_name_id_index";--> statement-breakpoint
REINDEX INDEX "assignments_creator_name_id_index";--> statement-breakpoint
UPDATE "assignment_search" SET "text" = fold("name") || '"' || fold("description") FROM "assignments"
WHERE "assignments"."id" = "assignment" AND "text" <> fold("name") || '"' || fold("description");
--> statement-breakpoint
-- Punycode (RFC 3492, 6.3) of a label that is not ASCII.
CREATE FUNCTION public.punycode(label text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  digits CONSTANT text := 'abcdefghijklmnopqrstuvwxyz0123456789';
  codes CONSTANT int[] := ARRAY(SELECT ascii(substr(label, place, 1)) FROM generate_series(1, char_length(label)) AS place);
  basic CONSTANT int := (SELECT count(*) FROM unnest(codes) AS code WHERE code < 128);
  output text := (SELECT string_agg(chr(code), '' ORDER BY place) FROM unnest(codes) WITH ORDINALITY AS all_codes (code, place) WHERE code < 128);
  handled int := basic;
  n int := 128;
  delta int := 0;
  bias int := 72;
  code int;
  q int;
  k int;
  t int;
  next_code int;
BEGIN
  output := coalesce(output || '-', '');
  WHILE handled < cardinality(codes) LOOP
    SELECT min(c) INTO next_code FROM unnest(codes) AS c WHERE c >= n;
    delta := delta + (next_code - n) * (handled + 1);
    n := next_code;
    FOREACH code IN ARRAY codes LOOP
      IF code < n THEN
        delta := delta + 1;
      ELSIF code = n THEN
        q := delta;
        k := 36;
        LOOP
          t := greatest(1, least(26, k - bias));
          EXIT WHEN q < t;
          output := output || substr(digits, t + (q - t) % (36 - t) + 1, 1);
          q := (q - t) / (36 - t);
          k := k + 36;
        END LOOP;
        output := output || substr(digits, q + 1, 1);
        delta := CASE WHEN handled = basic THEN delta / 700 ELSE delta / 2 END;
        delta := delta + delta / (handled + 1);
        k := 0;
        WHILE delta > 455 LOOP
          delta := delta / 35;
          k := k + 36;
        END LOOP;
        bias := k + 36 * delta / (delta + 38);
        delta := 0;
        handled := handled + 1;
      END IF;
    END LOOP;
    delta := delta + 1;
    n := n + 1;
  END LOOP;
  RETURN output;
END $$;
--> statement-breakpoint
-- The form in which e-mail addresses are compared. A domain is mapped as UTS 46 does, as far as PostgreSQL can.
DO $do$
DECLARE
  best text := (
    SELECT quote_ident(collname) FROM pg_collation
    WHERE collname IN ('pg_c_utf8', 'und-x-icu') AND collnamespace = 'pg_catalog'::regnamespace
    ORDER BY collname LIMIT 1
  );
BEGIN
  EXECUTE format($create$
    CREATE FUNCTION address_key(address text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
    DECLARE
      key CONSTANT text := lower(btrim(address, E' \t\n\r\f\v\u0085\u00a0\u00ad\u061c\u1680\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u202f\u205f\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u3000\ufeff') COLLATE "C");
      domain text;
    BEGIN
      IF octet_length(key) = char_length(key) THEN
        RETURN key;
      END IF;
      domain := substring(key FROM '[^@]*$');
      IF octet_length(domain) = char_length(domain) OR char_length(domain) NOT BETWEEN 1 AND char_length(key) - 1
        OR char_length(domain) > 253 THEN
        RETURN key;
      END IF;
      RETURN left(key, -char_length(domain)) || (
        SELECT string_agg(
          CASE WHEN octet_length(label) = char_length(label) THEN label ELSE 'xn--' || public.punycode(label) END, '.' ORDER BY place
        )
        FROM string_to_table(
          replace(normalize(lower(
            -- Where collations differ: the sigma at the end of a word, and the dotted I.
            replace(replace(normalize(domain, NFKC), 'Σ', 'σ'), 'İ', 'i' || chr(775)) COLLATE %s
          ), NFKC), '。', '.'), '.'
        ) WITH ORDINALITY AS labels (label, place)
      );
    END $$
  $create$, coalesce(best, '"default"'));
END $do$;
--> statement-breakpoint
DROP INDEX "signups_email_idx";--> statement-breakpoint
DROP INDEX "users_email_key";--> statement-breakpoint
CREATE INDEX "signups_email_idx" ON "signups" USING btree (address_key("email"));--> statement-breakpoint
CREATE UNIQUE INDEX "users_email_key" ON "users" USING btree (address_key("email"));
