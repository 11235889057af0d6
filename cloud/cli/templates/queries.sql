-- cloister sql/1
-- Motor claims that were filed with more than one insurer.
--
-- Each query says which claims belong together, and nothing else. Claims are known here by a handle (claim) that means
-- nothing outside one run; what leaves the room is decided by the header lines and by the owners' grants.
-- The table claims: claim, insurer, name, date_of_birth, vehicle, phone, zip, loss_date, loss_type, amount (cents), paid_at, status.
--
-- input claim_id text, person_name text, date_of_birth date, vin text, phone text, zip text, loss_date date, loss_type text, amount cents, paid_at date, status text

-- Claims of the same vehicle, the same kind of loss, within three days, at different insurers. The next sections read it.
-- view vehicle_pairs
select x.claim as a, y.claim as b, x.vehicle as vehicle, x.loss_type as loss_type, least(x.amount, y.amount) as amount
from claims x join claims y
  on x.vehicle = y.vehicle and x.loss_type = y.loss_type and x.insurer < y.insurer
where abs(date_diff('day', x.loss_date, y.loss_date)) <= 3

-- 1. Same vehicle and loss within three days.
-- output same-vehicle shape=rows about=own of=pairs score=80
select a, b from vehicle_pairs

-- 2. Same person: one household (phone and zip) or one birthday in one zip; names that are nearly equal, in either order,
-- or that sound alike; the same kind of loss within three days; amounts that differ by less than 30 %.
-- output same-person shape=rows about=own of=pairs score=60
with household as (
  select x.claim as a, y.claim as b, x.name as one, y.name as two, x.amount as first, y.amount as second, 0.9 as alike
  from claims x join claims y
    on x.phone = y.phone and x.zip = y.zip and x.loss_type = y.loss_type and x.insurer < y.insurer
  where abs(date_diff('day', x.loss_date, y.loss_date)) <= 3
),
birthday as (
  select x.claim as a, y.claim as b, x.name as one, y.name as two, x.amount as first, y.amount as second, 0.85 as alike
  from claims x join claims y
    on x.date_of_birth = y.date_of_birth and x.zip = y.zip and x.loss_type = y.loss_type and x.insurer < y.insurer
  where abs(date_diff('day', x.loss_date, y.loss_date)) <= 3
),
candidates as (
  select a, b, one, two, alike from household where least(first, second) / greatest(first, second) > 0.7
  union
  select a, b, one, two, alike from birthday where least(first, second) / greatest(first, second) > 0.7
)
select distinct a, b from candidates
where jaro_winkler_similarity(family(one), family(two)) > alike
   or least(jaro_winkler_similarity(family(one), given(two)), jaro_winkler_similarity(given(one), family(two))) > alike
   or levenshtein(sounds(one), sounds(two)) = 0

-- 3. How much overlaps, for each pair of insurers and each kind of loss.
-- output overlap shape=aggregate by=loss_type(collision|theft|water|fire|glass|other) sum=amount(1000000) per-person=2
select a, b, loss_type, amount from vehicle_pairs

-- 4. Rings: one vehicle with the same loss at three insurers.
-- output ring shape=rows about=own of=rings owners=3 score=90
with members as (
  select vehicle, loss_type, a as claim from vehicle_pairs
  union
  select vehicle, loss_type, b as claim from vehicle_pairs
)
select distinct concat(vehicle, ' ', loss_type) as ring, claim as a from members
