"""What the closed forms predict for loops of the families whose fit is one.

Every curve has one number per generation, from generation 0 on: entry g belongs to the model of generation g, which is
the end of g + 1 fits that began at the known truth ("t = g + 1 fits" in the formulas). Real data is drawn anew from the
truth for every replicate, and never with a sampling bias; the expectations are over replicates.

Gaussian results are in units of the truth, N(0, 1) in every dimension. Two numbers describe a loop: the *drift*
D = E (mean of the model)^2 and the *variance* V = E variance of the model. By the law of total variance V + D = 1 in
every regime where the fit is by maximum likelihood and sampling is unbiased.

symbol  argument         meaning
t       generations      fits: generation g is t = g + 1, curves end at ``generations``
n       n                rows of a training set (of one generation, where they accumulate)
a, b    ddof             variance of a fit: a = 1 - 1/n with ddof 0, 1 with ddof 1; b = 1 or N / (N - 1)
lambda  sampling_bias    factor of the covariance of a Gaussian, temperature of a multinomial
p, q                     real and synthetic share of the N rows of a training set
alpha   alpha            rows that Laplace smoothing adds to each of the K categories; m = K alpha / (n + K alpha)

The formulas follow from the moments of normal and multinomial samples; where a paper states one, it is named.
"""

from ..samplers.exact import converged_steps as converged_steps
from ..samplers.exact import sampled_variance as sampled_variance
from ..samplers.exact import sampler_factor as sampler_factor
from .counts import forgetting_time as forgetting_time
from .counts import rate_extinction as rate_extinction
from .counts import rate_roots as rate_roots
from .counts import rate_w2 as rate_w2
from .curation import filtered_variance as filtered_variance
from .curation import likeliest_variance as likeliest_variance
from .curation import projected_moments as projected_moments
from .curation import targeted_homozygosity as targeted_homozygosity
from .curation import targeted_limit as targeted_limit
from .curation import targeted_shares as targeted_shares
from .curation import top_variance as top_variance
from .curation import verified_coefficients as verified_coefficients
from .curation import verified_contraction as verified_contraction
from .forgetting import membership_area as membership_area
from .forgetting import relearned as relearned
from .gaussian import accumulate_limit as accumulate_limit
from .gaussian import accumulate_moments as accumulate_moments
from .gaussian import accumulate_subsample_moments as accumulate_subsample_moments
from .gaussian import augmentation_limit as augmentation_limit
from .gaussian import augmentation_moments as augmentation_moments
from .gaussian import fresh_limit as fresh_limit
from .gaussian import fresh_moments as fresh_moments
from .gaussian import ppca_trace as ppca_trace
from .gaussian import replace_determinant as replace_determinant
from .gaussian import replace_deviations as replace_deviations
from .gaussian import replace_frechet as replace_frechet
from .gaussian import replace_log_determinant as replace_log_determinant
from .gaussian import replace_log_determinant_variance as replace_log_determinant_variance
from .gaussian import replace_log_variance as replace_log_variance
from .gaussian import replace_moments as replace_moments
from .gaussian import replace_sd as replace_sd
from .gaussian import replace_second_moment as replace_second_moment
from .gaussian import replace_w2 as replace_w2
from .guidance import guided_odds as guided_odds
from .guidance import guided_shares as guided_shares
from .guidance import guided_variance as guided_variance
from .guidance import guided_variances as guided_variances
from .guidance import reinflation as reinflation
from .kernels import kde_rule_variance as kde_rule_variance
from .kernels import kde_variance as kde_variance
from .kernels import kernel_rule as kernel_rule
from .logistic import logistic_error as logistic_error
from .logistic import logistic_variance as logistic_variance
from .logistic import pathway as pathway
from .marks import artefact_power as artefact_power
from .marks import constant_shift as constant_shift
from .marks import purged_share as purged_share
from .marks import relearned_share as relearned_share
from .moments import Moments as Moments
from .multinomial import absorption_time as absorption_time
from .multinomial import absorption_time_diffusion as absorption_time_diffusion
from .multinomial import accumulate_heterozygosity as accumulate_heterozygosity
from .multinomial import distinct_items as distinct_items
from .multinomial import extinction as extinction
from .multinomial import fresh_share_error as fresh_share_error
from .multinomial import heterozygosity as heterozygosity
from .multinomial import kingman_lineages as kingman_lineages
from .multinomial import laplace_fresh_limit as laplace_fresh_limit
from .multinomial import laplace_homozygosity as laplace_homozygosity
from .multinomial import laplace_homozygosity_limit as laplace_homozygosity_limit
from .multinomial import laplace_shares as laplace_shares
from .multinomial import rare_extinction as rare_extinction
from .multinomial import replace_heterozygosity as replace_heterozygosity
from .multinomial import replace_share_variance as replace_share_variance
from .multinomial import survivors as survivors
from .multinomial import temperature_shares as temperature_shares
from .naive_bayes import between_classes_covariance as between_classes_covariance
from .naive_bayes import independent_homozygosity as independent_homozygosity
from .next_token import edited_shares as edited_shares
from .next_token import next_token_collision as next_token_collision
from .next_token import next_token_loop as next_token_loop
from .next_token import next_token_types as next_token_types
from .next_token import sequence_shares as sequence_shares
from .recursion import regime_moments as regime_moments
from .regression import regression_error_accumulate as regression_error_accumulate
from .regression import regression_error_replace as regression_error_replace
from .retraining import contraction as contraction
from .retraining import is_stable as is_stable
from .retraining import local_slopes as local_slopes
from .rewarded import regularised_moments as regularised_moments
from .rewarded import regularised_shares as regularised_shares
from .ridge import RidgeRisk as RidgeRisk
from .ridge import effective_penalty as effective_penalty
from .ridge import ridge_on_made_labels as ridge_on_made_labels
from .ridge import ridge_risk as ridge_risk
from .selection import best_of_divergence as best_of_divergence
from .selection import choice_divergence_bound as choice_divergence_bound
from .selection import choice_shares as choice_shares
from .selection import chosen_shares as chosen_shares
from .selection import curated_shares as curated_shares
from .selection import cut_variance as cut_variance
from .selection import selected_fixation as selected_fixation
from .selection import top_share_moments as top_share_moments
from .selection import verification_threshold as verification_threshold
from .selection import verified_error as verified_error
from .smoothed import hermite_gains as hermite_gains
from .smoothed import hermite_limit as hermite_limit
from .smoothed import smoothed_precision as smoothed_precision
from .smoothed import smoothed_variance as smoothed_variance
from .smoothed import smoothing_shares as smoothing_shares
from .smoothed import within_reach as within_reach
from .updating import buffered_variance as buffered_variance
from .updating import replayed_variance as replayed_variance
from .worth import admissible_rows as admissible_rows
from .worth import admissible_synthetic as admissible_synthetic
from .worth import effective_size as effective_size
from .worth import effective_size_w2 as effective_size_w2
from .worth import fresh_limit_w2 as fresh_limit_w2
from .worth import rows_of_distance as rows_of_distance
from .zipf import nucleus_rank as nucleus_rank
from .zipf import nucleus_rank_limit as nucleus_rank_limit
from .zipf import rows_worth as rows_worth
from .zipf import tail_mass as tail_mass
from .zipf import temperature_exponent as temperature_exponent
from .zipf import unseen_mass as unseen_mass
from .zipf import unseen_mass_limit as unseen_mass_limit
from .zipf import zipf as zipf
