-- Webhooks: a bearer secret of the receiver's, sealed (common/webhook.h), and for a while the secret before the last one, so that
-- a receiver can be changed without a message that it refuses. docs/webhooks.md says how.
alter table alert_channel
    add column bearer    text not null default '',  -- sealed for its url with the key file; '': none
    add column old_salt  text not null default '',  -- of the secret that counts, too, until
    add column old_until timestamptz;
grant update (old_salt, old_until) on alert_channel to muster_commander;
